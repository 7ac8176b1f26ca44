// SPDX-License-Identifier: BSL-1.0
#pragma once
// How datagram sockets behave, and what they count.

#include <stddef.h>
#include <stdint.h>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

/// Fixed for the life of a UdpSocket.
struct UdpOptions {
    /// Longer datagrams are cut, which is told. The default is what UDP can carry; with 2048, which
    /// is more than a network carries in one piece, a batch is 64 datagrams instead of 4.
    size_t datagram_max = 65536;
    /// Room for datagrams that wait to be sent, with 120 bytes beside each. What doesn't fit is
    /// dropped; 0: whatever would have to wait.
    size_t unsent_max = 256 * 1024;
};

/// How to bind a UdpSocket.
struct UdpBindOptions {
    /// Several sockets bind to one address and port, and the kernel spreads the senders over them.
    bool reuse_port = false;
    /// The same without spreading: each gets what is sent to a group, one of them the rest.
    bool reuse_address = false;
    bool dual_stack = false;  ///< an IPv6 wildcard also takes IPv4
};

/// What a UdpSocket has done so far.
struct UdpCounters {
    uint64_t received = 0;       ///< datagrams that on_datagram was shown
    uint64_t sent = 0;           ///< datagrams that the kernel took
    uint64_t truncated = 0;      ///< received ones that were longer than datagram_max
    uint64_t dropped = 0;        ///< not sent: no room, or an error after they had waited
    uint64_t errors = 0;         ///< failures that the kernel told, memory that was out
    uint64_t receive_calls = 0;  ///< batches asked for; a system call each, on Linux
    uint64_t send_calls = 0;     ///< the same, and what send() tried at once
};

}  // namespace rondo::inline RONDO_ABI
