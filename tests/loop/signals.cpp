// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/signals.hpp>

#include <signal.h>

#include <memory>
#include <optional>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

const auto nothing = [] {};

// A signal as it comes from outside.
template <class P>
void send(Rig<P>& rig, int number) {
    if constexpr (P::traits.kernel) {
        REQUIRE(::raise(number) == 0);
    } else {
        rig.world().raise_signal(number);
    }
}

void* disposition(int number) {
    struct sigaction now{};
    sigaction(number, nullptr, &now);
    return reinterpret_cast<void*>(now.sa_handler);
}

}  // namespace

KERNEL_CASE("a signal calls all its handlers in the loop, and no others", "[signals]") {
    Rig<TestType> rig;
    std::vector<int> heard;
    const auto first = *rig.loop.on_signal(SIGUSR1, [&](int number) { heard.push_back(number); });
    const auto second = *rig.loop.on_signal(SIGUSR1, [&] { heard.push_back(-1); });
    const auto other = *rig.loop.on_signal(SIGUSR2, [&](int number) { heard.push_back(number); });
    send(rig, SIGUSR1);
    rig.loop.poll();
    CHECK(heard == std::vector{SIGUSR1, -1});
    send(rig, SIGUSR2);
    rig.loop.poll();
    CHECK(heard == std::vector{SIGUSR1, -1, SIGUSR2});
    rig.loop.poll();
    CHECK(heard.size() == 3);
}

KERNEL_CASE("a signal watch ends with its owner; the others of the signal go on", "[signals]") {
    Rig<TestType> rig;
    int first = 0;
    int second = 0;
    {
        const auto short_lived = *rig.loop.on_signal(SIGUSR1, [&] { ++first; });
        const auto stays = *rig.loop.on_signal(SIGUSR1, [&] { ++second; });
        {
            const auto shorter = *rig.loop.on_signal(SIGUSR1, nothing);
            CHECK(shorter);
        }
        send(rig, SIGUSR1);
        rig.loop.poll();
    }
    CHECK(first == 1);
    CHECK(second == 1);
}

KERNEL_CASE("two loops may watch the same signal", "[signals]") {
    if constexpr (TestType::traits.kernel) {
        Rig<TestType> one;
        Rig<TestType> two;
        int heard = 0;
        const auto first = *one.loop.on_signal(SIGUSR1, [&] { heard += 1; });
        const auto second = *two.loop.on_signal(SIGUSR1, [&] { heard += 10; });
        send(one, SIGUSR1);
        one.loop.poll();
        two.loop.poll();
        CHECK(heard == 11);
    }
}

KERNEL_CASE("the previous disposition of a signal is put back", "[signals]") {
    if constexpr (TestType::traits.kernel) {
        const auto before = ::signal(SIGUSR2, SIG_IGN);
        {
            Rig<TestType> rig;
            {
                const auto watch = *rig.loop.on_signal(SIGUSR2, nothing);
                CHECK(disposition(SIGUSR2) != reinterpret_cast<void*>(SIG_IGN));
            }
            CHECK(disposition(SIGUSR2) == reinterpret_cast<void*>(SIG_IGN));
        }
        ::signal(SIGUSR2, before);
    }
}

KERNEL_CASE("a number that is no signal is refused", "[signals]") {
    Rig<TestType> rig;
    auto capture = std::make_shared<int>();
    for (const int number : {0, -1, 100}) {
        CHECK(rig.loop.on_signal(number, [capture] {}).error() == EINVAL);
    }
    CHECK(capture.use_count() == 1);
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("a signal watch doesn't keep run() going", "[signals]") {
    ManualRig rig;
    const auto watch = *rig.loop.on_signal(SIGTERM, nothing);
    CHECK(watch);
    CHECK(watch.fd() == -1);
    CHECK(rig.loop.run() == 0);
    CHECK(rig.world().counters().waits == 0);
}

TEST_CASE("a signal handler may end its own watch and others that are due", "[signals]") {
    ManualRig rig;
    std::optional<ManualRig::Loop::Watch> watches[3];
    std::string told;
    for (auto& watch : watches) {
        watch = *rig.loop.on_signal(SIGTERM, [&, end = AtEnd([&] { told += "gone "; })] {
            for (auto& each : watches) each.reset();
            told += "returned ";
            static_cast<void>(end);
        });
    }
    rig.world().raise_signal(SIGTERM);
    CHECK(rig.loop.poll() == 2);  // the descriptor's handler and one of ours
    CHECK(told == "gone gone returned gone ");
    const size_t waits = rig.world().counters().waits;
    CHECK(rig.loop.poll() == 0);
    CHECK(rig.world().counters().waits == waits + 1);  // nothing of them is left
}

TEST_CASE("a signal watch made by a handler isn't told of a signal before it", "[signals]") {
    ManualRig rig;
    std::optional<ManualRig::Loop::Watch> late;
    int called = 0;
    const auto watch = *rig.loop.on_signal(SIGTERM, [&] {
        if (!late) late = *rig.loop.on_signal(SIGTERM, [&] { ++called; });
    });
    rig.world().raise_signal(SIGTERM);
    rig.loop.poll();
    rig.loop.poll();
    CHECK(called == 0);
    rig.world().raise_signal(SIGTERM);
    rig.loop.poll();
    CHECK(called == 1);
}

TEST_CASE("an exception and a stop keep the signal handlers that are left", "[signals]") {
    ManualRig rig;
    std::string heard;
    const auto first = *rig.loop.on_signal(SIGTERM, [&] {
        heard += 'a';
        throw Thrown();
    });
    const auto second = *rig.loop.on_signal(SIGTERM, [&] {
        heard += 'b';
        rig.loop.stop();
    });
    const auto third = *rig.loop.on_signal(SIGTERM, [&] { heard += 'c'; });
    rig.world().raise_signal(SIGTERM);
    CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    const size_t waits = rig.world().counters().waits;
    CHECK(heard == "a");
    CHECK(rig.loop.run() == 1);
    CHECK(heard == "ab");
    CHECK(rig.loop.run() == 1);
    CHECK(heard == "abc");
    CHECK(rig.world().counters().waits == waits);
}

TEST_CASE("a nested poll runs the other signal handlers and never the running one", "[signals]") {
    ManualRig rig;
    std::string heard;
    const auto first = *rig.loop.on_signal(SIGTERM, [&] {
        heard += '(';
        rig.loop.poll();
        heard += ')';
    });
    const auto second = *rig.loop.on_signal(SIGTERM, [&] { heard += 'b'; });
    rig.world().raise_signal(SIGTERM);
    rig.loop.poll();
    CHECK(heard == "(b)");
}

TEST_CASE("a signal that comes again while its handler polls is told when it returns",
          "[signals]") {
    ManualRig rig;
    const int fd = rig.scripted();
    int called = 0;
    int ready = 0;
    const auto watch = *rig.loop.on_signal(SIGTERM, [&] {
        if (++called > 1) return;
        rig.world().raise_signal(SIGTERM);
        rig.loop.poll();
        CHECK(called == 1);
        // It must not keep the nested turns from polling.
        rig.world().set_ready(fd, Readiness::readable);
        rig.loop.poll();
        CHECK(ready == 1);
    });
    const auto second = *rig.loop.on_signal(SIGTERM, nothing);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        ++ready;
        rig.loop.remove(fd);
    }));
    rig.world().raise_signal(SIGTERM);
    rig.loop.poll();
    CHECK(called == 1);
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 2);
}

TEST_CASE("a registration left under the number of the signal descriptor is told, and mended",
          "[signals]") {
    ManualRig rig;
    const int stale = rig.scripted();
    REQUIRE(rig.loop.add(stale, Interest::read, nothing));
    rig.close(stale);  // without remove: the next descriptor gets its number
    const auto refused = rig.loop.on_signal(SIGUSR1, nothing);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == EEXIST);
    CHECK(rig.world().watched_signals == 0);
    rig.loop.remove(stale);
    int heard = 0;
    const auto watch = rig.loop.on_signal(SIGUSR1, [&] { ++heard; });
    REQUIRE(watch);
    rig.world().raise_signal(SIGUSR1);
    rig.loop.poll();
    CHECK(heard == 1);
}

TEST_CASE("each allocation that fails in on_signal leaves nothing behind", "[signals]") {
    using Counting = CountingMemory<64>;
    struct Large {
        char bytes[100];
    };
    Rig<ManualPoller, Counting> rig;
    int called = 0;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        auto watch = rig.loop.on_signal(
            SIGTERM, [&called, large = Large()] { called += 1 + large.bytes[0]; });
        if (Counting::refused() != before) {
            REQUIRE(watch.error() == ENOMEM);
            CHECK(rig.world().watched_signals == 0);
        } else {
            REQUIRE(watch);
            rig.world().raise_signal(SIGTERM);
            rig.loop.poll();
        }
    });
    CHECK(failures >= 4);
    CHECK(called == 1);
}
