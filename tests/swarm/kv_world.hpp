// SPDX-License-Identifier: BSL-1.0
#pragma once
// The small Redis of the examples, and clients on other hosts, each with a key of its own and a
// model of what it holds: every reply must be what the model says.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rondo/net/connector.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "examples/kv/server.hpp"
#include "swarm/plan.hpp"

namespace rondo::test {

template <class P>
class BasicKvWorld {
public:
    using Loop = EventLoop<P>;

    explicit BasicKvWorld(const sim::WorldOptions& options)
        : world(options), kv_loop_(P(world, world.host("server"))) {
        kv_.emplace(kv_loop_, example::kv::Settings{.password = "",
                                                    .clients_max = 10'000,
                                                    .output_max = 1 << 20,
                                                    .bulk_max = 1 << 20,
                                                    .timeout = 30,
                                                    .backlog = 511});
        kv_->listen(Endpoint::ipv4_any(7000)).value();
        world.drive(kv_loop_);
        for (size_t i = 0; i < hosts; ++i) {
            sites_.push_back(std::make_unique<Site>(*this, "host" + std::to_string(i)));
        }
        for (size_t i = 0; i < clients; ++i) sites_[i % hosts]->begin(i);
        world.after(Duration::seconds(130), [this] {
            cut_short_ = closed_ != opened;
            kv_->stop();
        });
    }

    std::string violations(bool complete = false) {
        Violations found;
        found.unless_equal(opened + failed, clients, "opened and failed, clients");
        found.unless_equal(closed_, opened, "closed, opened");
        if (complete && !cut_short_)
            found.unless_equal(finished_, opened, "got all replies, opened");
        found.unless_equal(wrong_replies_, 0, "replies that aren't what the model says");
        sites_.clear();
        kv_.reset();
        found.at_end(world);
        return found.text();
    }

    static constexpr size_t hosts = 3;
    static constexpr size_t clients = 20;
    sim::World world;
    size_t opened = 0, failed = 0;
    size_t answered = 0;

private:
    // One key with its model, and the replies that are still to come, as they will be.
    struct Client {
        size_t number = 0, asked = 0;
        bool there = false;
        std::string value, expected;
    };

    class Site {
    public:
        Site(BasicKvWorld& of, const std::string& name)
            : of_(of), loop_(P(of.world, of.world.host(name))), streams_(loop_) {
            streams_.on_open([this](auto&) { ++of_.opened; });
            streams_.on_data([this](auto& stream, auto data) { hear(stream, data); });
            streams_.on_close([this](auto& stream, const Error&) {
                const Client& client = stream.state();
                ++of_.closed_;
                if (client.asked >= 200 && client.expected.empty()) ++of_.finished_;
            });
            of.world.drive(loop_);
        }
        void begin(size_t number) {
            connectors_.push_back(std::make_unique<Connector<Loop>>(loop_));
            connectors_.back()
                ->connect(of_.world.host("server").address(7000),
                          [this, number](Result<int> fd) {
                              if (!fd) {
                                  ++of_.failed;
                                  return;
                              }
                              const auto handle = streams_.adopt(*fd).value();
                              Stream* const stream = streams_.find(handle);
                              if (stream == nullptr) return;
                              stream->state().number = number;
                              ask(*stream);
                          })
                .value();
        }

    private:
        using Streams = Connections<Loop, Client>;
        using Stream = typename Streams::Connection;

        static std::string bulk(const std::string& text) {
            return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
        }
        static std::string integer(size_t number) { return ":" + std::to_string(number) + "\r\n"; }
        static std::string request(const std::vector<std::string>& words) {
            std::string all = "*" + std::to_string(words.size()) + "\r\n";
            for (const std::string& word : words) all += bulk(word);
            return all;
        }

        // Up to five requests at once; two hundred in all, then it leaves.
        void ask(Stream& stream) {
            Client& client = stream.state();
            if (client.asked >= 200) return stream.close();
            std::string requests;
            auto& random = of_.world.network().random;
            for (uint64_t count = 1 + random.below(5); count > 0; --count, ++client.asked) {
                const uint64_t command = random.below(6);
                requests += one(client, command, random.below(3000));
            }
            stream.send(std::move(requests));
        }
        std::string one(Client& client, uint64_t command, size_t size) {
            const std::string key = "key" + std::to_string(client.number);
            const std::string text(size, static_cast<char>('a' + size % 26));
            if (command == 0) {
                client.value = text;
                client.there = true;
                client.expected += "+OK\r\n";
                return request({"SET", key, text});
            }
            if (command == 1) {
                client.value += text.substr(0, 10);
                client.there = true;
                client.expected += integer(client.value.size());
                return request({"APPEND", key, text.substr(0, 10)});
            }
            if (command == 2) {
                client.expected += integer(client.there ? 1 : 0);
                client.there = false;
                client.value.clear();
                return request({"DEL", key});
            }
            if (command == 3) {
                client.expected += integer(client.value.size());
                return request({"STRLEN", key});
            }
            client.expected += client.there ? bulk(client.value) : "$-1\r\n";
            return request({"GET", key});
        }
        void hear(Stream& stream, std::span<const std::byte> data) {
            Client& client = stream.state();
            const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
            if (!client.expected.starts_with(text)) {
                ++of_.wrong_replies_;
                return stream.abort();
            }
            client.expected.erase(0, text.size());
            if (!client.expected.empty()) return;
            ++of_.answered;
            ask(stream);
        }

        BasicKvWorld& of_;
        Loop loop_;
        Streams streams_;
        std::vector<std::unique_ptr<Connector<Loop>>> connectors_;
    };

    Loop kv_loop_;
    std::optional<example::kv::Server<Loop>> kv_;
    bool cut_short_ = false;  // the server has stopped too early for somebody
    size_t closed_ = 0, finished_ = 0, wrong_replies_ = 0;
    std::vector<std::unique_ptr<Site>> sites_;
};

using KvWorld = BasicKvWorld<SimPoller>;

}  // namespace rondo::test
