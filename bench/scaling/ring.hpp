// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work of the descriptor benchmarks: eventfds in a row, and tokens that hop from one to the
// next. A token is the count of the eventfd that it is in: how often it still has to be read. So
// every token is read equally often in whatever order a loop calls its handlers, all eventfds are
// empty at the end, and the checksum says which of them were read with what in them.
//
// Each token has its own share of the row, so that two never meet in one eventfd, and every turn of
// a loop finds as many events as there are tokens.

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bench/system.hpp"

namespace bench {

class Ring;

/// One eventfd of a ring. A handler holds a pointer to it and nothing else.
struct Station {
    Ring* ring;
    Station* next;  // where its token goes
    uint32_t number;
    int fd;

    /// Reads the token and passes it on. False: it was the last read of all.
    inline bool pass();
};

/// Threads: one, but for making it.
class alignas(64) Ring {
public:
    /// `active` tokens go round the first `reach` of `count` eventfds, the others stay idle.
    /// `reach` is a multiple of `active`.
    Ring(size_t count, size_t active, size_t reach) : active_(active), stations_(count) {
        for (size_t i = 0; i < count; ++i) {
            const int fd = must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
            const size_t next = i < reach ? (i + active) % reach : i;
            stations_[i] = {this, &stations_[next], static_cast<uint32_t>(i), fd};
        }
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
        for (const Station& each : stations_) ::close(each.fd);
    }

    std::span<Station> stations() { return stations_; }

    /// What ends the loop: handlers whose library doesn't tell them their loop call end().
    void at_end(std::function<void()> end) { end_ = std::move(end); }
    void end() { end_(); }

    /// Puts the tokens in; each will be read `hops` times.
    void launch(uint64_t hops) {
        events_ = hops * active_;
        handled_ = checksum_ = 0;
        for (size_t i = 0; i < active_; ++i) put(stations_[i], hops);
    }
    /// As Station::pass(), for those whose library has read the token.
    bool arrived(const Station& at, uint64_t token) {
        checksum_ += token * (at.number + 1);
        if (token > 1) put(*at.next, token - 1);
        return ++handled_ < events_;
    }

    uint64_t handled() const { return handled_; }
    uint64_t checksum() const { return checksum_; }

private:
    static void put(const Station& at, uint64_t token) {
        if (::write(at.fd, &token, sizeof token) != sizeof token) fail("write");
    }

    uint64_t events_ = 0;
    uint64_t handled_ = 0;
    uint64_t checksum_ = 0;
    size_t active_;
    std::vector<Station> stations_;
    std::function<void()> end_;
};

bool Station::pass() {
    uint64_t token = 0;
    if (::read(fd, &token, sizeof token) != sizeof token) fail("read");
    return ring->arrived(*this, token);
}

}  // namespace bench
