// SPDX-License-Identifier: BSL-1.0
// Places in the signal hub: how they come and go while handlers of other threads are at them.

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include <rondo/os/signal_port.hpp>

#include "support/catch.hpp"
#include "system_support.hpp"

using namespace system_support;
using rondo::PosixSystem;

namespace {

// A channel whose wake() takes its time, until somebody has come to close it.
struct SlowChannel : NoisyChannel {
    static inline std::atomic<bool> waking{false};
    static inline std::atomic<bool> closing{false};
    static inline std::atomic<bool> closed{false};
    static inline std::atomic<bool> closed_under_a_handler{false};

    SlowChannel(NoisyChannel&& channel) noexcept : NoisyChannel(std::move(channel)) {}
    static rondo::Result<SlowChannel> open() noexcept {
        auto channel = NoisyChannel::open();
        if (!channel) return channel.error();
        return SlowChannel(std::move(*channel));
    }
    void wake() noexcept {
        waking = true;
        while (!closing) sched_yield();
        for (int i = 0; i < 2000; ++i) sched_yield();
        closed_under_a_handler = closed.load();
    }
    void close() noexcept {
        closed = true;
        NoisyChannel::close();
    }
};
struct Slow : Portable {
    using Channel = SlowChannel;
};

}  // namespace

TEMPLATE_TEST_CASE("systems that come and go reuse their places and leave no descriptor",
                   "[signals]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    const int before = *TestType().open_signals();
    for (int i = 0; i < 100; ++i) watching<TestType>(SIGUSR1);
    CHECK(*TestType().open_signals() == before);
    CHECK(is_default(SIGUSR1));
}

TEST_CASE("a place that was given back is used again without an allocation", "[signals]") {
    const Disposed guard(SIGUSR1);
    using Counted = rondo::BasicPosixSystem<Starving>;
    {
        const Counted first = watching<Counted>(SIGUSR1);
    }
    const int before = NoMemory::allocations;
    auto second = watching<Counted>(SIGUSR1);
    CHECK(NoMemory::allocations == before);
    raise(SIGUSR1);
    CHECK(second.take_signals() == bit(SIGUSR1));
    const auto third = watching<Counted>(SIGUSR1);
    CHECK(NoMemory::allocations == before + 1);
}

TEST_CASE("a descriptor is not closed while a handler on another thread writes to it",
          "[signals][threads]") {
    const Disposed guard(SIGUSR1);
    std::optional<rondo::BasicPosixSystem<Slow>> system(
        watching<rondo::BasicPosixSystem<Slow>>(SIGUSR1));
    std::thread signalled([] { raise(SIGUSR1); });
    while (!SlowChannel::waking) sched_yield();
    SlowChannel::closing = true;
    system.reset();
    signalled.join();
    CHECK(SlowChannel::closed);
    CHECK_FALSE(SlowChannel::closed_under_a_handler);
}

TEMPLATE_TEST_CASE("threads watch and leave while signals arrive", "[signals][threads]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1), guard2(SIGUSR2);
    std::atomic<int> running{3};
    std::atomic<int> misdirected{0};
    const auto come_and_go = [&] {
        for (int i = 0; i < 300; ++i) {
            auto system = std::make_unique<TestType>();
            if (!system->add_signal(SIGUSR1) || !system->add_signal(SIGUSR2)) ++misdirected;
            raise(SIGUSR1);
            if ((system->take_signals() & bit(SIGUSR1)) == 0) ++misdirected;
            system->remove_signal(SIGUSR2);
            system.reset();
            const int reused = eventfd(0, EFD_NONBLOCK);
            sched_yield();
            if (readable(reused)) ++misdirected;
            close(reused);
        }
        --running;
    };
    {
        auto staying = watching<TestType>(SIGUSR1);
        REQUIRE(staying.add_signal(SIGUSR2));
        std::thread threads[] = {std::thread(come_and_go), std::thread(come_and_go),
                                 std::thread(come_and_go)};
        while (running != 0) {
            kill(getpid(), SIGUSR2);
            raise(SIGUSR1);
            staying.take_signals();
        }
        for (std::thread& thread : threads) thread.join();
        raise(SIGUSR2);
        CHECK((staying.take_signals() & bit(SIGUSR2)) != 0);
    }
    CHECK(misdirected == 0);
    CHECK(is_default(SIGUSR1));
    CHECK(is_default(SIGUSR2));
}
