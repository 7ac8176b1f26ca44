// SPDX-License-Identifier: BSL-1.0
// A server and its clients under faults: whatever call fails, connections end once and with a
// reason, no byte is invented, and afterwards everything works.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rondo/net/connector.hpp>
#include <rondo/net/server.hpp>

#include "net/connection_rig.hpp"
#include "net/fault_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

const Endpoint here = Endpoint::ipv4_loopback(0);

/// An echo server and its clients.
template <class P>
class Streams : public Faulted<P> {
public:
    using typename Faulted<P>::Loop;
    struct Client {
        std::string heard;
    };
    using Clients = Connections<Loop, Client>;
    using Link = typename Clients::Connection;

    Streams() {
        server_.on_open([this](auto&) { ++opened_; });
        server_.on_data([](auto& link, std::span<const std::byte> bytes) { link.send(bytes); });
        server_.on_close([this](auto&, const Error& reason) {
            ++closed_;
            if (reason) ++broken_;
        });
        clients_.on_open([this](Link& link) {
            ++opened_;
            link.send(said_);
            link.end();
        });
        clients_.on_data([](Link& link, std::span<const std::byte> bytes) {
            link.state().heard += text_of(bytes);
        });
        clients_.on_end([](Link&) {});
        clients_.on_close([this](Link& link, const Error& reason) { ended(link, reason); });
    }

    /// Listens; a call that has failed may be repeated.
    void start() {
        for (int left = 100; !server_.listen(here); --left) REQUIRE(left > 0);
        while (!address_) {
            if (const auto local = server_.local()) address_ = *local;
        }
    }

    /// So many clients say something and hear it again, as far as faults let them.
    void exchange(size_t count) {
        std::vector<std::unique_ptr<Connector<Loop>>> connectors;
        for (size_t i = 0; i < count; ++i) {
            connectors.push_back(std::make_unique<Connector<Loop>>(
                this->loop, ConnectorOptions{.rounds = 2, .retry_min = Duration::milliseconds(1)}));
            connectors.back()
                ->connect(address_, [this](Result<int> fd) { connected(std::move(fd)); })
                .value();
        }
        this->run_until([&] {
            return clients_.empty() && server_.empty() &&
                   std::ranges::none_of(connectors, [](const auto& each) { return each->busy(); });
        });
        REQUIRE(opened_ == closed_);
        REQUIRE(complete_ + short_ + refused_ == count);
        // Who hears too little is told why, or its peer is, or it was shed for want of descriptors.
        const size_t shed = server_.listener().counters().shed;
        REQUIRE(short_ <= broken_ + shed - shed_);
        shed_ = shed;
        if (this->plan.failed() == 0) REQUIRE(complete_ == count);
        complete_ = short_ = refused_ = broken_ = 0;
    }

    void finish() {
        server_.drain(Duration::seconds(1));
        this->loop.run();
    }

private:
    void connected(Result<int> fd) {
        if (fd && clients_.adopt(*fd)) return;
        if (fd) this->loop.sockets().close(*fd);
        if (!fd) REQUIRE(fd.error().code() > 0);
        ++refused_;
    }
    void ended(Link& link, const Error& reason) {
        ++closed_;
        const std::string& heard = link.state().heard;
        REQUIRE(said_.starts_with(heard));
        if (reason) ++broken_;
        ++(heard == said_ ? complete_ : short_);
    }

    const std::string said_ = pattern(20'000);
    Server<Loop> server_{this->loop, {}, {.pause_min = Duration::milliseconds(1)}};
    Clients clients_{this->loop};
    Endpoint address_;
    size_t opened_ = 0, closed_ = 0;  // connections, on both sides
    size_t broken_ = 0;               // of those, ended with a reason
    size_t shed_ = 0;                 // by the listener, before this exchange
    size_t complete_ = 0, short_ = 0, refused_ = 0;
};

template <class P>
FaultPlan streams(const FaultPlan& plan, size_t clients) {
    FaultPlan after;
    scene<Streams<P>>([&](Streams<P>& it) {
        it.plan = plan;
        it.start();
        it.exchange(clients);
        after = std::exchange(it.plan, FaultPlan());
        it.exchange(1);
        it.finish();
    });
    return after;
}

}  // namespace

KERNEL_CASE("streams outlive each call that fails", "[net][faults]") {
    each_call_fails([](const FaultPlan& plan) { return streams<TestType>(plan, 2); });
}

KERNEL_CASE("streams outlive many calls that fail", "[net][faults]") {
    many_calls_fail([](const FaultPlan& plan) { return streams<TestType>(plan, 4); });
}
