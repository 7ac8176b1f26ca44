// SPDX-License-Identifier: BSL-1.0
#pragma once
// A Poller whose clock, descriptors and network are those of a ManualWorld: the tests of the loop
// and of net run on it, and never wait, race or depend on the machine. A wait that has nothing to
// report moves the clock to its deadline instead of sleeping.
//
//     ManualWorld world;
//     EventLoop<ManualPoller> loop{ManualPoller(world)};
//     loop.after(10ms, ...);
//     world.advance(10ms);
//
// The conformance suite holds it to the same rules as the kernel's pollers.

#include <errno.h>

#include <memory>
#include <span>
#include <utility>

#include <rondo/backend/poller.hpp>

#include "manual_sockets.hpp"
#include "manual_system.hpp"
#include "manual_world.hpp"

namespace rondo::test {

class ManualEvent {
public:
    ManualEvent() = default;
    ManualEvent(Token token, Readiness readiness) : token_(token), readiness_(readiness) {}

    Token token() const noexcept { return token_; }
    Readiness readiness() const noexcept { return readiness_; }

private:
    Token token_;
    Readiness readiness_ = Readiness::none;
};

class ManualPoller {
public:
    using Event = ManualEvent;
    using Sockets = ManualSockets;
    using System = ManualSystem;

    static constexpr PollerTraits traits{
        .edge = true, .priority = true, .read_closed = true, .kernel = false};

    static constexpr const char* name() noexcept { return "manual"; }

    /// In a world of its own.
    static Result<ManualPoller> open() { return ManualPoller(std::make_shared<ManualWorld>()); }

    /// In the test's world, which must live longer.
    explicit ManualPoller(ManualWorld& world)
        : ManualPoller(std::shared_ptr<ManualWorld>(std::shared_ptr<void>(), &world)) {}

    ManualWorld& world() { return *world_; }

    Result<void> add(int fd, Interest interest, Token token) {
        ++world_->counters().adds;
        if (const int code = std::exchange(world_->add_failure, 0)) return failed(code, fd);
        const auto object = world_->shared(fd);
        if (abandoned_ || !object) return failed(EBADF, fd);
        if (find(fd) != nullptr) return failed(EEXIST, fd);
        world_->set.push_back({.fd = fd, .object = object, .interest = interest, .token = token});
        return {};
    }

    Result<void> modify(int fd, Interest, Interest to, Token token) {
        ++world_->counters().modifies;
        if (const int code = std::exchange(world_->modify_failure, 0)) return failed(code, fd);
        Registration* const one = find(fd);
        if (abandoned_ || world_->find(fd) == nullptr) return failed(EBADF, fd);
        if (one == nullptr) return failed(ENOENT, fd);
        one->interest = modes(one->interest) | directions(to);
        one->token = token;
        one->fresh = one->armed = true;
        return {};
    }

    Result<void> remove(int fd, Interest) {
        ++world_->counters().removes;
        if (const int code = std::exchange(world_->remove_failure, 0)) return failed(code, fd);
        Registration* const one = find(fd);
        if (abandoned_ || world_->find(fd) == nullptr) return failed(EBADF, fd);
        if (one == nullptr) return failed(ENOENT, fd);
        world_->set.erase(world_->set.begin() + (one - world_->set.data()));
        return {};
    }

    Result<size_t> wait(std::span<Event> out, Instant deadline) {
        if (abandoned_) return Error(EBADF, "wait");
        world_->begin_wait(deadline);
        if (const int code = std::exchange(world_->wait_failure, 0)) {
            if (code == EINTR) return size_t{0};
            return Error(code, "wait");
        }
        while (true) {
            const size_t count = collect(out);
            if (world_->take_wake() || count > 0) return count;
            if (!world_->pass_time(deadline)) return collect(out);
        }
    }

    void wake() noexcept { world_->wake(); }

    Instant now() const noexcept {
        ++world_->counters().clock_reads;
        return world_->time();
    }

    ManualSockets& sockets() noexcept { return sockets_; }
    ManualSystem& system() noexcept { return system_; }

    Result<void> reopen() {
        ++world_->counters().reopens;
        if (const int code = std::exchange(world_->reopen_failure, 0)) return Error(code, "reopen");
        if (abandoned_) return Error(EBADF, "reopen");
        world_->set.clear();
        return {};
    }

    void abandon() noexcept {
        ++world_->counters().abandons;
        abandoned_ = true;
        world_->set.clear();
        system_.abandon();
    }

private:
    using Registration = ManualWorld::Registration;

    explicit ManualPoller(std::shared_ptr<ManualWorld> world)
        : world_(std::move(world)), sockets_(*world_), system_(*world_) {}

    static Error failed(int code, int fd) { return Error::on_fd(code, "manual", fd); }

    // A closed descriptor has left the set, as it leaves epoll's.
    Registration* find(int fd) {
        std::erase_if(world_->set, [](const Registration& one) { return one.object.expired(); });
        for (Registration& one : world_->set) {
            if (one.fd == fd) return &one;
        }
        return nullptr;
    }

    static Readiness wanted(Interest interest) {
        if (directions(interest) == Interest::none) return Readiness::none;
        auto bits = static_cast<Readiness>(directions(interest));
        if (any(interest, Interest::read)) bits |= Readiness::read_closed;
        return bits | Readiness::error | Readiness::hangup;
    }

    // What to report of one registration; reporting it is then done.
    Readiness take(Registration& one) {
        const auto object = one.object.lock();
        if (!object || !one.armed) return Readiness::none;
        const Readiness mask = wanted(one.interest);
        Readiness found = object->state() & mask;
        if (any(one.interest, Interest::edge)) {
            const uint64_t changes = object->changes(mask);
            if (!one.fresh && changes == one.seen) found = Readiness::none;
            one.seen = changes;
            one.fresh = false;
        }
        if (const auto at = world_->injected().find(one.fd); at != world_->injected().end()) {
            found |= at->second & mask;
            world_->injected().erase(at);
        }
        if (found != Readiness::none && any(one.interest, Interest::oneshot)) one.armed = false;
        return found;
    }

    // Starts where the last full batch ended.
    size_t collect(std::span<Event> out) {
        size_t count = 0;
        auto& raw = world_->raw_events();
        while (count < out.size() && !raw.empty()) {
            out[count++] = Event(raw.front().token, raw.front().bits);
            raw.erase(raw.begin());
        }
        for (size_t left = world_->set.size(); left > 0 && count < out.size(); --left) {
            if (world_->set_cursor >= world_->set.size()) world_->set_cursor = 0;
            Registration& one = world_->set[world_->set_cursor++];
            const Readiness found = take(one);
            if (found != Readiness::none) out[count++] = Event(one.token, found);
        }
        return count;
    }

    std::shared_ptr<ManualWorld> world_;
    ManualSockets sockets_;
    ManualSystem system_;
    bool abandoned_ = false;
};

static_assert(Poller<ManualPoller>);

}  // namespace rondo::test
