// SPDX-License-Identifier: BSL-1.0
// Datagram sockets under faults: whatever call fails, nothing comes twice or from nowhere, and
// afterwards everything works.

#include <set>
#include <span>
#include <string>
#include <utility>

#include <rondo/net/udp_socket.hpp>

#include "net/connection_rig.hpp"
#include "net/fault_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

const Endpoint here = Endpoint::ipv4_loopback(0);

/// Two datagram sockets, one of which answers.
template <class P>
class Datagrams : public Faulted<P> {
public:
    using typename Faulted<P>::Loop;

    Datagrams() {
        server_.on_datagram([this](std::span<const std::byte> bytes, const Datagram& from) {
            const std::string text = text_of(bytes);
            REQUIRE(sent_.contains(text));
            REQUIRE(served_.insert(text).second);
            static_cast<void>(server_.send(bytes, from.peer));
        });
        client_.on_datagram([this](std::span<const std::byte> bytes, const Datagram&) {
            REQUIRE(served_.contains(text_of(bytes)));
            REQUIRE(answered_.insert(text_of(bytes)).second);
        });
    }

    void start() {
        const auto repeat = [](auto call) {
            for (int left = 100; !call(); --left) REQUIRE(left > 0);
        };
        repeat([&] { return static_cast<bool>(server_.bind(here)); });
        Result<Endpoint> address = server_.local();
        while (!address) address = server_.local();
        repeat([&] { return static_cast<bool>(client_.connect(*address)); });
    }

    /// Sends some, which may be lost, and then without faults one that must be answered. Tells the
    /// plan of before.
    FaultPlan exchange() {
        for (int i = 0; i < 20; ++i) {
            send();
            if (i % 4 == 0) this->loop.poll();
        }
        const FaultPlan after = std::exchange(this->plan, FaultPlan());
        // What an earlier one has met may be told instead of sending this one.
        std::string last = send();
        for (int left = 3; left > 0 && !last_sent_; --left) last = send();
        REQUIRE(last_sent_);
        this->run_until([&] { return answered_.contains(last); });
        return after;
    }

    size_t lost() const { return sent_.size() - answered_.size(); }

private:
    std::string send() {
        const std::string text = "datagram " + std::to_string(sent_.size());
        sent_.insert(text);
        last_sent_ = static_cast<bool>(client_.send(text));
        return text;
    }

    UdpSocket<Loop> server_{this->loop}, client_{this->loop};
    std::set<std::string> sent_, served_, answered_;
    bool last_sent_ = false;
};

template <class P>
FaultPlan datagrams(const FaultPlan& plan) {
    FaultPlan after;
    scene<Datagrams<P>>([&](Datagrams<P>& it) {
        it.plan = plan;
        it.start();
        after = it.exchange();
        it.exchange();
        if (after.failed() == 0) REQUIRE(it.lost() == 0);
    });
    return after;
}

}  // namespace

KERNEL_CASE("datagram sockets outlive each call that fails", "[net][faults]") {
    each_call_fails([](const FaultPlan& plan) { return datagrams<TestType>(plan); });
}

KERNEL_CASE("datagram sockets outlive many calls that fail", "[net][faults]") {
    many_calls_fail([](const FaultPlan& plan) { return datagrams<TestType>(plan); });
}
