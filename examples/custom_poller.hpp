// SPDX-License-Identifier: BSL-1.0
#pragma once
// A complete poller on plain poll(2), as short as it can be: it makes the kernel's array anew for
// every wait. Events, clock, sockets, signals and wake-up are those of the library.
#include <fcntl.h>
#include <poll.h>
#include <map>
#include <vector>
#include "examples/options.hpp"

namespace example {

class TinyPoller {
public:
    using Interest = rondo::Interest;
    using Event = rondo::PollEvent;  // a token, and the bits of poll(2)
    using Sockets = rondo::PosixSockets;
    using System = rondo::PosixSystem;
    static constexpr rondo::PollerTraits traits{.priority = true, .files_always_ready = true};
    static constexpr const char* name() noexcept { return "tiny"; }
    static rondo::Result<TinyPoller> open() {
        auto wake = rondo::WakeChannel::open();
        if (!wake) return wake.error();
        return TinyPoller(std::move(*wake));
    }
    rondo::Result<void> add(int fd, Interest interest, rondo::Token token) {
        if (any(interest, Interest::edge)) return done(ENOTSUP, fd);
        if (wake_.fd() < 0 || fcntl(fd, F_GETFD) < 0) return done(EBADF, fd);
        return done(entries_.try_emplace(fd, interest, token).second ? 0 : EEXIST, fd);
    }
    rondo::Result<void> modify(int fd, Interest, Interest to, rondo::Token token) {
        if (entries_.contains(fd)) return entries_[fd] = {to, token}, done(0, fd);
        return done(ENOENT, fd);
    }
    rondo::Result<void> remove(int fd, Interest) {
        return done(entries_.erase(fd) != 0 ? 0 : ENOENT, fd);
    }
    rondo::Result<size_t> wait(std::span<Event> out, rondo::Instant deadline) {
        if (wake_.fd() < 0) return rondo::Error(EBADF, "poll");
        fds_.assign(1, {wake_.fd(), POLLIN, 0});
        for (const auto& [fd, entry] : entries_) {
            const auto events = static_cast<short>(directions(entry.first));
            if (events != 0) fds_.push_back({fd, events, 0});
        }
        const int ready = poll(fds_.data(), fds_.size(), poll_timeout(now(), deadline));
        if (ready < 0 && errno != EINTR) return rondo::Error(errno, "poll");
        if (fds_[0].revents != 0) wake_.drain();
        size_t count = 0;
        for (size_t left = fds_.size(); ready > 0 && left > 0 && count < out.size(); --left) {
            const pollfd& at = fds_[++last_ % fds_.size()];  // goes on where the last batch ended
            if (at.fd == wake_.fd() || at.revents == 0) continue;
            auto& [interest, token] = entries_[at.fd];
            out[count++] = Event(token, at.revents);
            if (any(interest, Interest::oneshot)) interest = modes(interest);
        }
        return count;
    }

    void wake() noexcept { wake_.wake(); }
    rondo::Instant now() noexcept { return rondo::monotonic_now(); }
    Sockets& sockets() noexcept { return sockets_; }
    System& system() noexcept { return system_; }
    rondo::Result<void> reopen() { return entries_.clear(), done(wake_.fd() < 0 ? EBADF : 0, -1); }
    void abandon() noexcept { entries_.clear(), wake_.close(), system_.abandon(); }

private:
    explicit TinyPoller(rondo::WakeChannel wake) : wake_(std::move(wake)) {}
    static rondo::Result<void> done(int code, int fd) {
        if (code == 0) return {};
        return rondo::Error::on_fd(code, "poll", fd);
    }

    rondo::WakeChannel wake_;
    std::map<int, std::pair<Interest, rondo::Token>> entries_;
    std::vector<pollfd> fds_;  // the first is that of wake_
    size_t last_ = 0;
    Sockets sockets_;
    System system_;
};
static_assert(rondo::Poller<TinyPoller>);

}  // namespace example
