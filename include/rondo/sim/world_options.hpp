// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a simulated world is like: how long things take, and what goes wrong how often. A world with
// the options' defaults is a perfect one, in which everything between hosts arrives at once.

#include <stddef.h>
#include <stdint.h>

#include <rondo/core/time.hpp>
#include <rondo/sim/random.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// What goes wrong. Each is the probability, 0 to 1, that it happens when it could.
struct Faults {
    double short_write = 0;  ///< a write takes a part only
    double short_read = 0;   ///< a read gives a part only, and the rest a little later
    double spurious = 0;     ///< a read, write or accept would block although all is ready
    double interrupted = 0;  ///< a wait is interrupted
    double reset = 0;        ///< a connection is reset, in the middle of what a write sends
    double half_close = 0;   ///< a sender's direction ends in the middle of what a write sends
    double connect_refused = 0;
    double connect_lost = 0;    ///< nobody answers; the connect fails after connect_timeout
    double accept_no_fds = 0;   ///< accept says EMFILE
    double accept_aborted = 0;  ///< the client had gone (ECONNABORTED), the next one is accepted
    double datagram_lost = 0;
    double datagram_doubled = 0;
    double datagram_late = 0;  ///< it takes longer by another latency: others overtake it
    double name_unknown = 0;   ///< a name isn't resolved
};

/// All of them, for reports.
struct NamedFault {
    const char* name;
    double Faults::* chance;
};
inline constexpr NamedFault all_faults[] = {
    {"short write", &Faults::short_write},
    {"short read", &Faults::short_read},
    {"spurious readiness", &Faults::spurious},
    {"interrupted wait", &Faults::interrupted},
    {"reset", &Faults::reset},
    {"half-close", &Faults::half_close},
    {"connect refused", &Faults::connect_refused},
    {"connect lost", &Faults::connect_lost},
    {"accept without descriptors", &Faults::accept_no_fds},
    {"accept aborted", &Faults::accept_aborted},
    {"datagram lost", &Faults::datagram_lost},
    {"datagram doubled", &Faults::datagram_doubled},
    {"datagram late", &Faults::datagram_late},
    {"name unknown", &Faults::name_unknown},
};

/// A world's seed, its times and its faults.
struct WorldOptions {
    uint64_t seed = 1;
    Delay latency{};              ///< from one host to another, of each segment and datagram
    size_t bytes_per_second = 0;  ///< of each link in each direction; 0: no limit
    size_t buffer = 65536;        ///< bytes on the way in one direction of a stream
    Delay job{};                  ///< that a SimExecutor runs, such as looking up a name
    Delay turn{};                 ///< what one turn of a loop takes on a slow host
    // Of a connect that is lost, to an address that nobody has, or over a link that stays cut.
    Duration connect_timeout = Duration::seconds(127);  // tcp(7): tcp_syn_retries is 6
    Faults faults{};
};

}  // namespace rondo::inline RONDO_ABI::sim
