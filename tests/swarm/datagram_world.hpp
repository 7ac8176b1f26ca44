// SPDX-License-Identifier: BSL-1.0
#pragma once
// A datagram server that answers, and clients on other hosts that ask for it by its name. Datagrams
// may be lost, doubled and late, but nothing comes that wasn't sent, and in all no more than was
// sent and doubled; a name is answered once, unless it was asked for no longer.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rondo/net/resolver.hpp>
#include <rondo/net/udp_socket.hpp>
#include <rondo/sim/sim_executor.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "swarm/plan.hpp"

namespace rondo::test {

class DatagramWorld {
public:
    using Loop = EventLoop<SimPoller>;

    explicit DatagramWorld(const sim::WorldOptions& options)
        : world(options), loop_(SimPoller(world, world.host("server"))) {
        server_.emplace(loop_);
        server_->on_datagram([this](std::span<const std::byte> bytes, const Datagram& from) {
            ++heard_;
            if (server_->send(bytes, from.peer)) ++sent_;
        });
        server_->bind(Endpoint::ipv6_any(7000), {.dual_stack = true}).value();
        world.drive(loop_);
        for (size_t i = 0; i < hosts; ++i) {
            sites_.push_back(std::make_unique<Site>(*this, "host" + std::to_string(i)));
        }
        for (size_t i = 0; i < clients; ++i) sites_[i % hosts]->begin(i);
        world.after(Duration::seconds(300), [this] { stop(); });
    }

    std::string violations(bool complete = false) {
        Violations found;
        found.unless_equal(asked_, named_ + unnamed_ + dropped_,
                           "names asked, answered or dropped");
        found.unless_equal(uncalled_for_, 0, "answers that nobody waits for any more");
        found.unless_equal(strange_, 0, "datagrams that weren't sent so");
        const size_t lost = world.struck(&sim::Faults::datagram_lost);
        const size_t doubled = world.struck(&sim::Faults::datagram_doubled);
        found.unless(heard_ + lost <= sent_ + doubled, "more were received than sent");
        // A small buffer loses what comes while it is full; the largest one has room for all.
        const bool room = world.network().options.buffer == sim::WorldOptions().buffer;
        if (complete && room) {
            found.unless_equal(heard_ + lost, sent_ + doubled, "received, sent");
        }
        found.unless_equal(counted_sent_, sent_, "counted as sent, sent");
        found.unless_equal(counted_received_, heard_, "counted as received, heard");
        sites_.clear();
        server_.reset();
        found.at_end(world);
        return found.text();
    }

    /// Of the faults that there are, those of streams can't strike here.
    static bool meets(double sim::Faults::* fault) {
        using F = sim::Faults;
        return fault == &F::datagram_lost || fault == &F::datagram_doubled ||
               fault == &F::datagram_late || fault == &F::name_unknown || fault == &F::interrupted;
    }

    static constexpr size_t hosts = 3;
    static constexpr size_t clients = 20;
    sim::World world;
    size_t answered = 0;

private:
    class Site {
    public:
        Site(DatagramWorld& of, const std::string& name)
            : of_(of), loop_(SimPoller(of.world, of.world.host(name))) {
            of.world.drive(loop_);
        }

        // Every third one loses patience.
        void begin(size_t number) {
            ++of_.asked_;
            Client& client = *clients_.emplace_back(std::make_unique<Client>(loop_, number));
            const auto id = resolver_.resolve("server", 7000, [this, &client](ResolveResult found) {
                if (client.dropped) ++of_.uncalled_for_;
                ++(found ? of_.named_ : of_.unnamed_);
                if (found) open(client, (*found)[client.number % found->size()]);
            });
            if (number % 3 != 0) return;
            client.impatience.after(Duration::milliseconds(50), [this, &client, id = *id] {
                client.dropped = resolver_.cancel(id);
                if (client.dropped) ++of_.dropped_;
            });
        }
        void stop() {
            for (auto& client : clients_) {
                of_.count(client->socket);
                client->again.cancel();
                client->socket.close();
            }
        }

    private:
        struct Client {
            Client(Loop& loop, size_t index)
                : number(index), impatience(loop.timer()), again(loop.timer()), socket(loop) {}
            size_t number;
            size_t sent = 0;
            bool dropped = false;
            Loop::Timer impatience, again;
            UdpSocket<Loop> socket;
        };

        static std::string text(const Client& client, size_t index) {
            return "client " + std::to_string(client.number) + " says " + std::to_string(index);
        }
        void open(Client& client, const Endpoint& to) {
            client.socket.on_datagram([this, &client](std::span<const std::byte> bytes,
                                                      const Datagram&) {
                const std::string heard(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                bool said = false;
                for (size_t i = 0; i < client.sent; ++i) said |= heard == text(client, i);
                if (!said) ++of_.strange_;
                ++of_.answered;
                ++of_.heard_;
            });
            client.socket.connect(to).value();
            client.again.every(Duration::milliseconds(100), [this, &client] {
                if (client.socket.send(text(client, client.sent++))) ++of_.sent_;
                if (client.sent == 50) client.again.cancel();
            });
        }

        DatagramWorld& of_;
        Loop loop_;
        SimExecutor<Loop> executor_{loop_};
        Resolver<Loop, SimExecutor<Loop>> resolver_{loop_, executor_};
        std::vector<std::unique_ptr<Client>> clients_;
    };

    void stop() {
        for (auto& site : sites_) site->stop();
        count(*server_);
        server_->close();
    }
    void count(const UdpSocket<Loop>& socket) {
        counted_sent_ += socket.counters().sent;
        counted_received_ += socket.counters().received;
    }

    Loop loop_;
    std::optional<UdpSocket<Loop>> server_;
    size_t asked_ = 0, named_ = 0, unnamed_ = 0, dropped_ = 0, uncalled_for_ = 0;
    size_t strange_ = 0, sent_ = 0, heard_ = 0, counted_sent_ = 0, counted_received_ = 0;
    std::vector<std::unique_ptr<Site>> sites_;
};

}  // namespace rondo::test
