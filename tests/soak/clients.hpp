// SPDX-License-Identifier: BSL-1.0
#pragma once
// The clients of the soak test: a number of them at any time, each of a random kind, and a new one
// for each that has ended. Whoever is owed a reply checks every byte of it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <rondo/rondo.hpp>
#include <rondo/sim/random.hpp>

#include "soak/server.hpp"

namespace soak {

/// What a client does.
enum class Kind : uint8_t {
    talker,   ///< says something, hears it, says the next
    dawdler,  ///< says much at once, and reads only after a while
    leaver,   ///< resets the connection in the middle
    victim,   ///< asks to be reset
};

/// One connection of a client.
struct Visit {
    size_t slot = 0;
    Kind kind = Kind::talker;
    uint64_t salt = 0;
    size_t said = 0, heard = 0;
    int left = 0;  // things to say
    std::optional<Loop::Timer> later;
};

/// What all clients have done so far.
struct Done {
    uint64_t visits = 0, replies = 0;  // a reply is all that a visit was owed
    uint64_t lost = 0, wrong = 0;      // replies that weren't all there; bytes that weren't right
    uint64_t refused = 0;
    uint64_t armed = 0, fired = 0, early = 0;  // timers
};

class Clients {
public:
    Clients(Loop& loop, const rondo::Endpoint& to, uint64_t seed)
        : loop_(loop), to_(to), random_(seed) {
        connections_.on_open([this](Link& link) { opened(link); });
        connections_.on_data([this](Link& link, auto bytes) { heard(link, bytes); });
        connections_.on_close([this](Link& link, const rondo::Error& why) { closed(link, why); });
        for (size_t slot = 0; slot < slots; ++slot) {
            // Many addresses, so that ports don't run out.
            const auto from = static_cast<uint8_t>(2 + slot);
            connectors_.push_back(std::make_unique<rondo::Connector<Loop>>(
                loop,
                rondo::ConnectorOptions{.source = rondo::Endpoint::ipv4(127, 0, 0, from, 0)}));
        }
    }

    /// Runs for so long, and then until the last client has gone.
    void run_for(rondo::Duration duration) {
        const rondo::Instant end = loop_.now() + duration;
        more_ = true;
        for (size_t slot = 0; slot < slots; ++slot) begin(slot);
        Loop::Timer stop = loop_.timer();
        stop.at(end, [this] { more_ = false; });
        loop_.run();
    }

    const Done& done() const { return done_; }

private:
    using Group = rondo::Connections<Loop, Visit>;
    using Link = Group::Connection;
    static constexpr size_t slots = 100;
    static constexpr size_t word_max = 8 * 1024, speech = 512 * 1024;

    static std::byte byte(uint64_t salt, size_t at) {
        return at == 0 ? std::byte{'.'} : static_cast<std::byte>(salt + at * 31 + (at >> 8U));
    }

    void begin(size_t slot) {
        const auto connected = [this, slot](rondo::Result<int> fd) {
            next_ = slot;
            if (fd && connections_.adopt(*fd)) return;
            ++done_.refused;
        };
        if (!connectors_[slot]->connect(to_, connected)) ++done_.refused;
    }

    void opened(Link& link) {
        Visit& visit = link.state();
        visit.slot = next_;
        visit.kind = static_cast<Kind>(random_.below(4));
        visit.salt = random_.next();
        visit.left = visit.kind == Kind::talker ? static_cast<int>(random_.below(20)) : 0;
        ++done_.visits;
        switch (visit.kind) {
            case Kind::talker:
                say(link, 1 + random_.below(word_max));
                break;
            case Kind::dawdler:
                link.pause();
                say(link, speech);
                later(link, [](Link& slow) { slow.resume(); });
                break;
            case Kind::leaver:
                say(link, speech);
                later(link, [](Link& leaving) { leaving.abort(); });
                break;
            case Kind::victim:
                link.send(std::span(&reset_me, 1));
                break;
        }
    }

    void say(Link& link, size_t bytes) {
        Visit& visit = link.state();
        std::vector<std::byte> text(bytes);
        for (std::byte& each : text) each = byte(visit.salt, visit.said++);
        link.send(std::move(text));
        if (visit.left == 0) link.end();
    }

    /// Does something in up to 20 ms.
    void later(Link& link, void (*what)(Link&)) {
        const auto delay =
            rondo::Duration::microseconds(static_cast<int64_t>(random_.below(20'000)));
        const rondo::Instant due = loop_.now() + delay;
        ++done_.armed;
        link.state().later.emplace(loop_.timer());
        link.state().later->at(due, [this, due, what, handle = link.handle()] {
            ++done_.fired;
            if (loop_.poller().now() < due) ++done_.early;
            if (Link* const there = connections_.find(handle)) what(*there);
        });
    }

    void heard(Link& link, std::span<const std::byte> bytes) {
        Visit& visit = link.state();
        for (const std::byte each : bytes) {
            if (each != byte(visit.salt, visit.heard++)) ++done_.wrong;
        }
        if (visit.heard < visit.said || visit.left == 0) return;
        --visit.left;
        say(link, 1 + random_.below(word_max));
    }

    void closed(Link& link, const rondo::Error& why) {
        const Visit& visit = link.state();
        const bool owed = visit.kind == Kind::talker || visit.kind == Kind::dawdler;
        const bool fine = !why && visit.left == 0 && visit.heard == visit.said;
        if (owed) ++(fine ? done_.replies : done_.lost);
        if (visit.later && visit.later->armed()) --done_.armed;
        if (more_) begin(visit.slot);
    }

    Loop& loop_;
    rondo::Endpoint to_;
    rondo::sim::Random random_;
    // Who waits for so long has lost what it waits for.
    Group connections_{loop_, {.idle_timeout = rondo::Duration::seconds(20)}};
    std::vector<std::unique_ptr<rondo::Connector<Loop>>> connectors_;
    size_t next_ = 0;
    bool more_ = false;
    Done done_;
};

}  // namespace soak
