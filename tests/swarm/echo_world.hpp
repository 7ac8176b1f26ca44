// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that echoes, and clients on other hosts that compare what comes back byte by byte. Each
// client sends a pattern of its own, in messages of many sizes and no further ahead than its
// window, and ends the stream when all has come back, or falls silent until a timeout ends it. Its
// site also keeps timers, which must come neither early nor late, and duels: two watches that are
// ready at once, and two timers of one time, of which whichever comes first ends the other.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rondo/net/connector.hpp>
#include <rondo/net/server.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "swarm/plan.hpp"

namespace rondo::test {

struct EchoPlan {
    size_t hosts = 3;
    size_t clients = 20;
    size_t bytes = 10'000;  // from each client
    size_t silent = 0;      // how many clients don't end their stream
    ConnectionOptions options = {};
};

/// That of a seed: queues are full now and then, and who is idle is told to go, which some wait for
/// in every second world.
inline EchoPlan echo_plan(uint64_t seed) {
    return {.silent = seed % 2 == 0 ? size_t{5} : 0,
            .options = {.high_water = 2000, .idle_timeout = Duration::seconds(20)}};
}

template <class P>
class BasicEchoWorld {
public:
    using Loop = EventLoop<P>;

    explicit BasicEchoWorld(const sim::WorldOptions& options)
        : BasicEchoWorld(options, echo_plan(options.seed)) {}
    BasicEchoWorld(const sim::WorldOptions& options, const EchoPlan& what)
        : world(options), plan(what), server_loop_(P(world, world.host("server"))) {
        server_.emplace(server_loop_, plan.options);
        server_->on_data([this](auto& connection, auto data) {
            // A part as it was shown, the rest as bytes of its own.
            const size_t half = data.size() / 2;
            connection.send(data.first(half));
            connection.send(
                std::vector(data.begin() + static_cast<std::ptrdiff_t>(half), data.end()));
            if (connection.unsent() > plan.options.high_water + data.size()) ++overfull_;
        });
        server_->on_open([this](auto&) { ++accepted_; });
        server_->on_close([this](auto& connection, const Error& reason) {
            ++server_closed_;
            check_end(connection, reason, world.host("server"));
        });
        server_->listen(Endpoint::ipv4_any(7000)).value();
        world.drive(server_loop_);
        for (size_t i = 0; i < plan.hosts; ++i) {
            sites_.push_back(std::make_unique<Site>(*this, "host" + std::to_string(i)));
        }
        for (size_t i = 0; i < plan.clients; ++i) sites_[i % plan.hosts]->begin(i);
    }

    /// What must be so whatever went wrong on the way, once nothing happens any more; `complete`:
    /// and nothing was lost. Ends all.
    std::string violations(bool complete = false) {
        Violations found;
        found.unless_equal(opened + failed, plan.clients, "opened and failed, clients");
        found.unless_equal(closed_, opened, "closed, opened");
        const auto struck = [this](auto fault) { return world.struck(fault); };
        using F = sim::Faults;
        if (complete) {
            found.unless_equal(finished, opened, "heard all, opened");
            found.unless_equal(failed_ends_, 0, "streams that ended otherwise than they should");
            found.unless(failed <= struck(&F::connect_refused) + struck(&F::connect_lost),
                         "a connect failed for nothing");
        }
        const size_t shed = server_->listener().counters().shed;
        found.unless(accepted_ + shed + struck(&F::accept_aborted) >= opened,
                     "a connection was never accepted");
        found.unless_equal(server_closed_, accepted_, "closed, accepted by the server");
        found.unless_equal(wrong_bytes_, 0, "bytes that weren't sent so");
        found.unless_equal(wrong_calls_, 0, "calls of a handler that was done");
        found.unless_equal(overfull_, 0, "queues above their mark by more than a send");
        found.unless_equal(early_, 0, "timers that came early");
        found.unless_equal(late_, 0, "timers that came late");
        found.unless_equal(timers_due_, timers_run_, "timers due, and run");
        found.unless_equal(duels_won_, duels_, "duels won, begun");
        found.unless_equal(idle_wrong_, 0, "idle timeouts that came early or late");
        sites_.clear();
        server_.reset();
        found.at_end(world);
        return found.text();
    }

    sim::World world;
    const EchoPlan plan;
    size_t opened = 0, failed = 0;
    size_t finished = 0;  // heard all that they sent
    size_t idle = 0;      // streams that an idle timeout has ended
    Instant ended;        // when the last client's stream did

private:
    struct Client {
        size_t number = 0, sent = 0, heard = 0;
        bool open = false;
    };

    class Site {
    public:
        Site(BasicEchoWorld& of, const std::string& name)
            : of_(of),
              loop_(P(of.world, of.world.host(name))),
              streams_(loop_, reading_on(of.plan.options)) {
            streams_.on_open([this](auto& stream) {
                ++of_.opened;
                stream.state().open = true;
            });
            streams_.on_data([this](auto& stream, auto data) { heard(stream, data); });
            streams_.on_close([this](auto& stream, const Error& reason) {
                ++of_.closed_;
                of_.check_end(stream, reason, loop_.poller().host());
                of_.ended = of_.world.now();
                if (!std::exchange(stream.state().open, false)) ++of_.wrong_calls_;
                if (stream.state().heard == of_.plan.bytes) ++of_.finished;
            });
            of.world.drive(loop_);
            tick();
        }
        void begin(size_t number) {
            connectors_.push_back(std::make_unique<Connector<Loop>>(loop_));
            connectors_.back()
                ->connect(of_.world.host("server").address(7000),
                          [this, number](Result<int> fd) { connected(number, fd); })
                .value();
        }

    private:
        using Streams = Connections<Loop, Client>;
        using Stream = typename Streams::Connection;

        // If both sides stopped reading for what they send, each would wait for the other. The
        // window bounds what a client sends.
        static ConnectionOptions reading_on(ConnectionOptions options) {
            options.pause_if_full = false;
            return options;
        }
        void connected(size_t number, const Result<int>& fd) {
            if (!fd) {
                ++of_.failed;
                return;
            }
            const auto handle = streams_.adopt(*fd).value();
            if (Stream* const stream = streams_.find(handle)) {
                stream->state().number = number;
                send(*stream);
            }
        }
        static char expected(size_t client, size_t at) {
            return static_cast<char>('a' + (at * 7 + at / 251 + client * 3) % 26);
        }
        void send(Stream& stream) {
            Client& client = stream.state();
            const size_t window = client.number % 2 == 0 ? 3000 : of_.plan.bytes;
            while (client.sent < of_.plan.bytes && client.sent < client.heard + window) {
                std::string message;
                const size_t size = 1 + (client.sent * 13 + client.number) % 900;
                while (message.size() < size && client.sent < of_.plan.bytes) {
                    message += expected(client.number, client.sent++);
                }
                stream.send(std::move(message));
            }
        }
        void heard(Stream& stream, std::span<const std::byte> data) {
            Client& client = stream.state();
            if (!client.open) ++of_.wrong_calls_;
            for (const std::byte byte : data) {
                if (static_cast<char>(byte) != expected(client.number, client.heard++)) {
                    ++of_.wrong_bytes_;
                }
            }
            send(stream);
            if (client.heard >= of_.plan.bytes && client.number >= of_.plan.silent) stream.close();
        }

        // A hundred timers, each of which sets the next one.
        void tick() {
            if (ticks_++ == 100) return;
            duel();
            ++of_.timers_due_;
            const Duration delay = Duration::microseconds(static_cast<int64_t>(ticks_ * ticks_));
            const Instant due = loop_.now() + delay;
            loop_.after(delay, [this, due] {
                ++of_.timers_run_;
                if (of_.world.now() < due) ++of_.early_;
                if (of_.world.now() > due + of_.turn(loop_.poller().host())) ++of_.late_;
                tick();
            });
        }

        // Two of each, which end each other; a watch that is told after its end is one too many.
        struct Duel {
            explicit Duel(Loop& of) : loop(of), timers{loop.timer(), loop.timer()} {}
            Duel(const Duel&) = delete;
            Duel& operator=(const Duel&) = delete;
            ~Duel() {
                for (auto& watch : watches) watch = {};
                for (const int fd : fds) loop.sockets().close(fd);
            }
            Loop& loop;
            typename Loop::Timer timers[2];
            typename Loop::Watch watches[2];
            std::vector<int> fds;
        };
        void duel() {
            auto& duel = *duels_.emplace_back(std::make_unique<Duel>(loop_));
            of_.duels_ += 2;
            const Instant at = loop_.now() + Duration::microseconds(50);
            for (int i = 0; i < 2; ++i) {
                duel.timers[i].at(at, [this, &duel, i] {
                    ++of_.duels_won_;
                    duel.timers[1 - i].cancel();
                });
                const FdPair ends = loop_.sockets().pipe().value();
                duel.fds.insert(duel.fds.end(), {ends.first, ends.second});
                const auto won = [this, &duel, i] {
                    ++of_.duels_won_;
                    duel.watches[1 - i] = {};
                    duel.watches[i] = {};
                };
                duel.watches[i] = loop_.watch(ends.first, Interest::read, won).value();
                const std::byte byte{};
                static_cast<void>(loop_.sockets().write(ends.second, {&byte, 1}));
            }
        }

        BasicEchoWorld& of_;
        Loop loop_;
        std::vector<std::unique_ptr<Duel>> duels_;
        Streams streams_;
        std::vector<std::unique_ptr<Connector<Loop>>> connectors_;
        size_t ticks_ = 0;
    };

    // A slow host may be in a turn when it is time, and tells of a stream's end in the next.
    Duration turn(const sim::Host& host) {
        return host.slow() ? world.network().options.turn.max : Duration();
    }
    void check_end(auto& connection, const Error& reason, const sim::Host& host) {
        const Duration limit = plan.options.idle_timeout;
        const bool timed_out = std::string_view(reason.call()) == "idle";
        if (reason && !timed_out) ++failed_ends_;
        if (!timed_out) return;
        const ConnectionCounters& counters = connection.counters();
        const Instant last = std::max(counters.last_received, counters.last_sent);
        const Duration silence = world.now() - last;
        ++idle;
        if (silence < limit || silence > limit + turn(host) * 2) ++idle_wrong_;
    }

    Loop server_loop_;
    std::optional<Server<Loop>> server_;
    size_t closed_ = 0, accepted_ = 0, server_closed_ = 0;
    size_t wrong_bytes_ = 0, wrong_calls_ = 0, overfull_ = 0;
    size_t timers_due_ = 0, timers_run_ = 0, early_ = 0, late_ = 0, idle_wrong_ = 0;
    size_t failed_ends_ = 0;
    size_t duels_ = 0, duels_won_ = 0;
    std::vector<std::unique_ptr<Site>> sites_;
};

using EchoWorld = BasicEchoWorld<SimPoller>;

}  // namespace rondo::test
