// SPDX-License-Identifier: BSL-1.0
#pragma once
// SimPoller: a Poller whose clock, descriptors and network are those of a simulated World. A loop
// that the world drives never blocks; one that runs itself lets the world go on while it waits.

#include <rondo/backend/poller.hpp>
#include <rondo/sim/sim_sockets.hpp>
#include <rondo/sim/sim_system.hpp>
#include <rondo/sim/world.hpp>

namespace rondo::inline RONDO_ABI {

class SimEvent {
public:
    SimEvent() = default;
    SimEvent(Token token, Readiness readiness) noexcept : token_(token), readiness_(readiness) {}

    Token token() const noexcept { return token_; }
    Readiness readiness() const noexcept { return readiness_; }

private:
    Token token_;
    Readiness readiness_ = Readiness::none;
};

/// Models Poller.
/// Lifetime: must not outlive its world.
/// Threads: those of a world are one.
class SimPoller {
public:
    using Event = SimEvent;
    using Sockets = SimSockets;
    using System = SimSystem;

    static constexpr PollerTraits traits{
        .edge = true, .priority = true, .read_closed = true, .kernel = false};

    static constexpr const char* name() noexcept { return "sim"; }

    /// On a host of a world of its own.
    static Result<SimPoller> open() {
        auto world = std::make_shared<sim::World>();
        sim::Host& host = world->host("localhost");
        return SimPoller(std::move(world), host);
    }
    /// On that host of the user's world.
    SimPoller(sim::World& world, sim::Host& host)
        : SimPoller(std::shared_ptr<sim::World>(std::shared_ptr<void>(), &world), host) {}
    SimPoller(SimPoller&& other) noexcept
        : world_(std::move(other.world_)),
          seat_(std::exchange(other.seat_, nullptr)),
          sockets_(other.sockets_),
          system_(std::move(other.system_)),
          abandoned_(other.abandoned_) {}
    SimPoller& operator=(SimPoller&& other) noexcept {
        std::swap(world_, other.world_);
        std::swap(seat_, other.seat_);
        std::swap(sockets_, other.sockets_);
        std::swap(system_, other.system_);
        std::swap(abandoned_, other.abandoned_);
        return *this;
    }
    ~SimPoller() {
        if (seat_ != nullptr) world_->leave(*seat_);
    }

    sim::World& world() noexcept { return *world_; }
    sim::Host& host() noexcept { return *seat_->host; }

    Result<void> add(int fd, Interest interest, Token token) {
        const auto object = abandoned_ ? nullptr : seat_->host->shared(fd);
        return answer(seat_->set.add(fd, object, interest, token), fd);
    }
    Result<void> modify(int fd, Interest, Interest to, Token token) {
        return abandoned_ ? failed(EBADF, fd) : answer(seat_->set.modify(fd, to, token), fd);
    }
    Result<void> remove(int fd, Interest) {
        return abandoned_ ? failed(EBADF, fd) : answer(seat_->set.remove(fd), fd);
    }

    Result<size_t> wait(std::span<Event> out, Instant deadline) {
        if (abandoned_) return Error(EBADF, "wait");
        sim::Network& network = world_->network();
        if (network.strikes(&sim::Faults::interrupted)) return size_t{0};
        while (network.happen()) {
        }
        while (true) {
            const size_t count = seat_->set.collect(out);
            if (std::exchange(seat_->woken, false) || count > 0) return count;
            if (deadline <= network.now()) return size_t{0};
            if (world_->step(deadline)) continue;
            RONDO_ASSERT(deadline != Instant::max(),
                         "a simulated loop waits for ever: nothing in its world can wake it");
            network.advance(deadline);
        }
    }
    void wake() noexcept { seat_->woken = true; }
    Instant now() const noexcept { return world_->now(); }

    SimSockets& sockets() noexcept { return sockets_; }
    SimSystem& system() noexcept { return system_; }

    Result<void> reopen() {
        if (abandoned_) return Error(EBADF, "reopen");
        seat_->set.clear();
        return {};
    }
    void abandon() noexcept {
        abandoned_ = true;
        seat_->set.clear();
        system_.abandon();
    }

    /// For World.
    sim::Seat& seat() noexcept { return *seat_; }

private:
    SimPoller(std::shared_ptr<sim::World> world, sim::Host& host)
        : world_(std::move(world)),
          seat_(&world_->sit(host)),
          sockets_(*world_, host),
          system_(*world_, host) {}

    static Error failed(int code, int fd) { return Error::on_fd(code, "sim", fd); }
    static Result<void> answer(int code, int fd) {
        if (code != 0) return failed(code, fd);
        return {};
    }

    std::shared_ptr<sim::World> world_;
    sim::Seat* seat_;
    SimSockets sockets_;
    SimSystem system_;
    bool abandoned_ = false;
};

static_assert(Poller<SimPoller>);

}  // namespace rondo::inline RONDO_ABI
