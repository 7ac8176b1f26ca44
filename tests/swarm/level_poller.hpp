// SPDX-License-Identifier: BSL-1.0
#pragma once
// SimPoller as poll() and select() are: without edges. A connection's interest then follows what it
// wants, event by event, which is code of its own.

#include <rondo/sim/sim_poller.hpp>

namespace rondo::test {

class LevelPoller : public SimPoller {
public:
    using SimPoller::SimPoller;

    static constexpr PollerTraits traits{.priority = true, .read_closed = true, .kernel = false};
    static_assert(!traits.edge);

    static Result<LevelPoller> open() {
        auto poller = SimPoller::open();
        if (!poller) return poller.error();
        return LevelPoller(std::move(*poller));
    }

private:
    explicit LevelPoller(SimPoller poller) : SimPoller(std::move(poller)) {}
};

}  // namespace rondo::test
