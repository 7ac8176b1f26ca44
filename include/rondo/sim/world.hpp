// SPDX-License-Identifier: BSL-1.0
#pragma once
// World: hosts, the network between them, and the loops that run on them, all in one thread and in
// virtual time. It lets one loop after the other make a turn, in an order that the seed decides,
// and moves the clock only when every loop is idle: an hour of time-outs takes as long as what
// happens in it. The same seed is the same history, to the last byte.
//
//     sim::World world({.seed = 7, .latency = {1ms, 5ms, 200ms}});
//     EventLoop<SimPoller> server{SimPoller(world, world.host("server"))};
//     EventLoop<SimPoller> client{SimPoller(world, world.host("client"))};
//     world.drive(server);
//     world.drive(client);
//     world.run_for(1h);

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include <rondo/core/error.hpp>
#include <rondo/core/name_error.hpp>
#include <rondo/sim/host.hpp>
#include <rondo/sim/network.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// A poller's place in its world.
struct Seat {
    Host* host = nullptr;
    ReadySet set;
    size_t (*turn)(void* loop) = nullptr;  // nullptr: it runs itself
    void* loop = nullptr;
    Instant deadline = Instant::max();  // until when its last wait would have slept
    Instant busy;                       // a slow host's loop is in its turn until then
    Instant last_turn;
    size_t vain = 0;  // turns in a row, at one instant, in which nothing ran
    bool woken = false;
    bool running = false;  // in a turn that the world has asked for

    explicit Seat(Host& on) noexcept : host(&on) {}
};

/// Neither copied nor moved: its pollers point at it, and must not outlive it.
/// Threads: everything of one world belongs to one thread.
class World {
public:
    /// `lines`: how much of its history trace() can print.
    explicit World(const WorldOptions& options = {}, size_t lines = 1000)
        : network_(options, lines) {}

    // Hosts and links.

    /// The host of that name, made if it isn't there. SystemApi::resolve() finds it by its name.
    Host& host(std::string_view name) {
        for (Host& one : hosts_) {
            if (one.name() == name) return one;
        }
        return hosts_.emplace_back(static_cast<int>(hosts_.size()), std::string(name));
    }
    /// The host that has this address, seen from `from`; nullptr: nobody.
    Host* host_at(const Endpoint& at, Host& from) {
        if (from.has(at)) return &from;
        for (Host& one : hosts_) {
            if (at.is_ip() && one.address(at.port(), at.family()) == at) return &one;
        }
        return nullptr;
    }
    template <class F>
    void for_each_host(F&& f) {
        for (Host& one : hosts_) f(one);
    }
    /// What a name stands for; none: nobody has it.
    Endpoint address_of(std::string_view name, uint16_t port, Family family = Family::ipv4) const {
        if (name == "localhost") {
            return family == Family::ipv4 ? Endpoint::ipv4_loopback(port)
                                          : Endpoint::ipv6_loopback(port);
        }
        for (const Host& one : hosts_) {
            if (one.name() == name) return one.address(port, family);
        }
        return {};
    }
    /// Nothing that is sent from now on comes through between these two until heal().
    void cut(const Host& a, const Host& b) {
        network_.note("cut", a.index(), -1, b.index());
        network_.cut(a.index(), b.index());
    }
    void heal(const Host& a, const Host& b) {
        network_.note("heal", a.index(), -1, b.index());
        network_.heal(a.index(), b.index());
    }

    // Time.

    Instant now() const noexcept { return network_.now(); }
    /// Runs `action` at that time; it may do what it likes with the world's loops.
    template <class F>
    void at(Instant when, F action) {
        network_.at(when, std::move(action));
    }
    template <class F>
    void after(Duration delay, F action) {
        at(now() + delay, std::move(action));
    }

    // Running.

    /// Lets the world run this loop, until the loop's end.
    template <class Loop>
    void drive(Loop& loop) {
        Seat& seat = loop.poller().seat();
        seat.loop = &loop;
        seat.deadline = now();
        seat.turn = [](void* self) {
            Loop& of = *static_cast<Loop*>(self);
            const size_t ran = of.poll();
            of.poller().seat().deadline = of.prepare();
            return ran;
        };
    }
    void run_for(Duration time) { run_until(now() + time); }
    void run_until(Instant end) {
        settle(end);
        network_.advance(end);
    }
    /// Runs until nothing is left that could ever happen: no timer, and no bytes on the way but
    /// those that a cut link holds. False: that took longer than `most`.
    bool settle(Duration most) { return settle(now() + most); }

    // What happened.

    const Trace& trace() const noexcept { return network_.trace; }
    /// How often a fault has struck.
    size_t struck(double Faults::* fault) const {
        for (size_t i = 0; i < std::size(all_faults); ++i) {
            if (all_faults[i].chance == fault) return network_.struck[i];
        }
        return 0;
    }
    size_t turns() const noexcept { return turns_; }
    /// The most turns that a loop has made in a row, at one instant, without anything to do. A few
    /// come from spurious readiness and interruptions; many are a loop that spins.
    size_t vain_turns() const noexcept { return vain_turns_; }

    // The rest is for SimPoller.

    Network& network() noexcept { return network_; }
    Seat& sit(Host& host) { return *seats_.emplace_back(std::make_unique<Seat>(host)); }
    void leave(const Seat& seat) {
        std::erase_if(seats_, [&](const auto& one) { return one.get() == &seat; });
    }
    /// Lets one thing happen, or time pass up to `end`. False: nothing happens until then.
    bool step(Instant end) {
        if (network_.happen()) return true;
        if (Seat* const seat = pick()) {
            make_turn(*seat);
            return true;
        }
        const Instant next = std::min(network_.next(), next_turn());
        if (next > end || next == Instant::max()) return false;
        network_.advance(next);
        return true;
    }

private:
    bool settle(Instant end) {
        while (step(end)) {
        }
        return network_.next() == Instant::max() && next_turn() == Instant::max();
    }
    bool runnable(Seat& seat) const {
        if (seat.turn == nullptr || seat.running || seat.busy > now()) return false;
        return seat.woken || seat.deadline <= now() || seat.set.ready();
    }
    // One of those that can make a turn, by chance.
    Seat* pick() {
        Seat* found = nullptr;
        uint64_t count = 0;
        for (const auto& seat : seats_) {
            if (!runnable(*seat)) continue;
            ++count;
            if (count == 1 || network_.random.below(count) == 0) found = seat.get();
        }
        return found;
    }
    Instant next_turn() {
        Instant next = Instant::max();
        for (const auto& seat : seats_) {
            if (seat->turn == nullptr || seat->running) continue;
            const Instant wanted = seat->woken || seat->set.ready() ? now() : seat->deadline;
            next = std::min(next, std::max(wanted, seat->busy));
        }
        return next;
    }
    void make_turn(Seat& seat) {
        struct Turn {
            Seat& seat;
            explicit Turn(Seat& of) : seat(of) { seat.running = true; }
            Turn(const Turn&) = delete;
            Turn& operator=(const Turn&) = delete;
            ~Turn() { seat.running = false; }
        } turn(seat);
        ++turns_;
        const bool again = seat.last_turn == now() && !seat.woken;
        seat.last_turn = now();
        if (seat.turn(seat.loop) == 0 && again) {
            vain_turns_ = std::max(vain_turns_, ++seat.vain);
            RONDO_ASSERT(seat.vain < 1000, "a loop makes turn after turn in which nothing happens");
        } else {
            seat.vain = 0;
        }
        if (seat.host->slow()) seat.busy = now() + network_.random.in(network_.options.turn);
    }

    Network network_;
    std::deque<Host> hosts_;
    std::vector<std::unique_ptr<Seat>> seats_;
    size_t turns_ = 0;
    size_t vain_turns_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::sim
