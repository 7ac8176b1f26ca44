// SPDX-License-Identifier: BSL-1.0
#pragma once
// Network: the time of a world, what is going to happen in it, and the links between its hosts.
// What is sent over a link arrives in the order of the stream it belongs to, after the link's
// latency; within a host it arrives at once. A link that is cut holds what streams send until it
// heals, as TCP would by sending it again; datagrams are lost.

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include <rondo/sim/random.hpp>
#include <rondo/sim/trace.hpp>
#include <rondo/sim/world_options.hpp>

namespace rondo::inline RONDO_ABI::sim {

class Network {
public:
    using Action = std::function<void()>;

    Network(const WorldOptions& with, size_t lines)
        : options(with), random(with.seed), trace(lines) {}
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    // Time.

    Instant now() const noexcept { return now_; }
    /// Runs `action` at that time, behind what else happens then.
    void at(Instant when, Action action) {
        events_.emplace(when < now_ ? now_ : when, std::move(action));
    }
    void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }
    /// When the next thing happens; Instant::max(): never.
    Instant next() const noexcept {
        return events_.empty() ? Instant::max() : events_.begin()->first;
    }
    void advance(Instant to) noexcept {
        if (now_ < to) now_ = to;
    }
    /// Runs the next thing, if its time has come.
    bool happen() {
        if (next() > now_) return false;
        const Action action = std::move(events_.begin()->second);
        events_.erase(events_.begin());
        action();
        return true;
    }

    // Links.

    /// Lets `action` happen when something of this size has come from one host to the other, and
    /// not before what was sent by the same `last` sender.
    void carry(int from, int to, size_t bytes, Instant& last, Action action) {
        if (from == to) return action();
        Link& link = links_[{from, to}];
        if (link.cut) return link.held.push_back(std::move(action));
        Instant arrival = depart(link, bytes) + random.in(options.latency);
        arrival = std::max({arrival, last, link.healed});
        last = arrival;
        link.latest = std::max(link.latest, arrival);
        // Not before what is to happen now and came earlier.
        if (arrival <= now_ && next() > now_) return action();
        at(arrival, std::move(action));
    }
    /// Nothing that is sent from now on comes through between these two; see heal().
    void cut(int a, int b) { links_[{a, b}].cut = links_[{b, a}].cut = true; }
    /// What was held comes after one latency, in order.
    void heal(int a, int b) {
        for (const auto& ends : {std::pair(a, b), std::pair(b, a)}) {
            Link& link = links_[ends];
            if (!std::exchange(link.cut, false)) continue;
            link.healed = std::max(link.latest, now_ + random.in(options.latency));
            link.latest = link.healed;
            for (Action& action : std::exchange(link.held, {})) at(link.healed, std::move(action));
        }
    }
    bool is_cut(int a, int b) const {
        const auto link = links_.find({a, b});
        return link != links_.end() && link->second.cut;
    }

    // Chance.

    /// True if this fault happens now.
    bool strikes(double Faults::* fault) {
        if (!random.chance(options.faults.*fault)) return false;
        for (size_t i = 0; i < std::size(all_faults); ++i) {
            if (all_faults[i].chance == fault) ++struck[i];
        }
        return true;
    }
    /// Some of these bytes, at least one.
    size_t part_of(size_t bytes) { return 1 + static_cast<size_t>(random.below(bytes)); }
    void note(const char* what, int host, int fd = -1, int64_t value = 0) {
        trace.note({now_, what, host, fd, value});
    }

    WorldOptions options;
    Random random;
    Trace trace;
    size_t struck[std::size(all_faults)] = {};

private:
    struct Link {
        Instant busy;    // until then it sends what was sent before
        Instant healed;  // until then it carries what it has held
        Instant latest;  // when the last of what is on the way arrives
        bool cut = false;
        std::vector<Action> held;
    };

    Instant depart(Link& link, size_t bytes) {
        if (options.bytes_per_second == 0) return now_;
        const auto size = static_cast<int64_t>(bytes);
        const auto speed = static_cast<int64_t>(options.bytes_per_second);
        link.busy =
            std::max(link.busy, now_) + Duration(detail::scale_up(size, 1'000'000'000, speed));
        return link.busy;
    }

    Instant now_{1'000'000'000};
    std::multimap<Instant, Action> events_;
    std::map<std::pair<int, int>, Link> links_;
};

}  // namespace rondo::inline RONDO_ABI::sim
