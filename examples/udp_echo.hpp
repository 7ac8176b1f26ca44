// SPDX-License-Identifier: BSL-1.0
#pragma once
// Sends every datagram back to where it came from. What comes together is received by one system
// call and answered by one. On the way out it tells what it has done.

#include <cstdio>
#include <span>

#include <rondo/rondo.hpp>

#include "examples/options.hpp"

namespace example {

template <class Loop>
class UdpEcho {
public:
    // [udp]
    explicit UdpEcho(Loop& loop) : udp_(loop, {.datagram_max = 2048}) {
        udp_.on_datagram([this](std::span<const std::byte> bytes, const rondo::Datagram& from) {
            if (from.truncated) return;  // half an echo is none
            if (!udp_.send(bytes, from.peer)) ++lost_;
        });
        udp_.on_error([](const rondo::Error& error) { report(error); });
    }

    auto listen(const rondo::Endpoint& at) { return udp_.bind(at); }
    auto local() { return udp_.local().value(); }
    // [/udp]

    void stop() {
        udp_.close();
        const auto& counters = udp_.counters();
        say("received %llu in %llu calls, sent %llu in %llu, too long %llu, lost %llu\n",
            number(counters.received), number(counters.receive_calls), number(counters.sent),
            number(counters.send_calls), number(counters.truncated), number(lost_));
    }

private:
    static unsigned long long number(uint64_t value) { return value; }

    rondo::UdpSocket<Loop> udp_;
    uint64_t lost_ = 0;
};

}  // namespace example
