// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/descriptors.hpp>

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

const auto nothing = [] {};

}  // namespace

// What the calls answer.

KERNEL_CASE("add refuses -1 and a closed descriptor with EBADF", "[descriptors]") {
    Rig<TestType> rig;
    CHECK(rig.loop.add(-1, Interest::read, nothing).error() == EBADF);
    const int fd = rig.readable();
    rig.close(fd);
    CHECK(rig.loop.add(fd, Interest::read, nothing).error() == EBADF);
    CHECK(rig.loop.interest(fd) == Interest::none);
    CHECK(rig.loop.interest(-1) == Interest::none);
}

KERNEL_CASE("add of a watched descriptor is EEXIST and leaves the first handler", "[descriptors]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    int first = 0;
    int second = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { ++first; }));
    CHECK(rig.loop.add(fd, Interest::write, [&] { ++second; }).error() == EEXIST);
    CHECK(rig.loop.interest(fd) == Interest::read);
    CHECK(rig.loop.poll() == 1);
    CHECK(first == 1);
    CHECK(second == 0);
}

KERNEL_CASE("a regular file is EPERM, or always ready where the poller says so", "[descriptors]") {
    Rig<TestType> rig;
    if constexpr (TestType::traits.kernel) {
        const int fd = rig.own(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        REQUIRE(fd >= 0);
        const auto added = rig.loop.add(fd, Interest::read, nothing);
        if constexpr (TestType::traits.files_always_ready) {
            REQUIRE(added);
            CHECK(rig.loop.poll() == 1);
        } else {
            CHECK(added.error() == EPERM);
            CHECK(rig.loop.interest(fd) == Interest::none);
            CHECK(rig.loop.run() == 0);
        }
    }
}

TEST_CASE("what the poller refuses comes back from add and changes nothing", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    auto capture = std::make_shared<int>();
    rig.world().fail_next_add(ENOSPC);
    CHECK(rig.loop.add(fd, Interest::read, [capture] {}).error() == ENOSPC);
    CHECK(capture.use_count() == 1);
    rig.world().fail_next_add(ENOSPC);
    CHECK(rig.loop.add(fd, Interest::read, [capture] {}, [capture] {}).error() == ENOSPC);
    CHECK(capture.use_count() == 1);
    CHECK(rig.loop.interest(fd) == Interest::none);
    CHECK(rig.loop.run() == 0);
    CHECK(rig.loop.add(fd, Interest::read, nothing));
    CHECK(rig.loop.poll() == 1);
}

TEST_CASE("add heals an entry that the poller kept of a closed descriptor", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    rig.world().fail_next_add(EEXIST);
    CHECK(rig.loop.add(fd, Interest::read, nothing));
    CHECK(rig.world().registered(fd) == Interest::read);
    CHECK(rig.loop.poll() == 1);
}

TEST_CASE("modify, replace and background of an unregistered descriptor assert", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    const auto modified = dies([&] { rig.loop.modify(fd, Interest::read); });
    CHECK(modified.aborted);
    CHECK_THAT(modified.message, ContainsSubstring("modify: this descriptor isn't registered"));
    const auto replaced =
        dies([&] { static_cast<void>(rig.loop.replace(fd, Interest::read, nothing)); });
    CHECK(replaced.aborted);
    CHECK_THAT(replaced.message, ContainsSubstring("replace: this descriptor isn't registered"));
    const auto hidden = dies([&] { rig.loop.background(fd, true); });
    CHECK(hidden.aborted);
    CHECK_THAT(hidden.message, ContainsSubstring("background: this descriptor isn't registered"));
}

TEST_CASE("replace without a direction asserts", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    const auto death =
        dies([&] { static_cast<void>(rig.loop.replace(fd, Interest::none, nothing)); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("name the direction"));
}

TEST_CASE("remove of what isn't registered does nothing", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    rig.loop.remove(fd);
    rig.loop.remove(-1);
    rig.loop.remove(1 << 30);
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.remove(fd);
    rig.loop.remove(fd);
    CHECK(rig.world().counters().removes == 1);
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("interest is what was asked for last, with the modes of add", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, nothing));
    CHECK(rig.loop.interest(fd) == (Interest::read | Interest::edge));
    rig.loop.modify(fd, Interest::write | Interest::oneshot | Interest::write_first);
    CHECK(rig.loop.interest(fd) == (Interest::write | Interest::edge));
    rig.loop.modify(fd, Interest::none);
    CHECK(rig.loop.interest(fd) == Interest::edge);
    rig.loop.remove(fd);
    CHECK(rig.loop.interest(fd) == Interest::none);
}

// What the poller is told, and when.

TEST_CASE("add and remove are one call to the poller each, at once", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    CHECK(rig.world().registered(fd) == Interest::read);
    rig.loop.remove(fd);
    CHECK_FALSE(rig.world().registered(fd));
    CHECK(rig.world().counters().adds == 1);
    CHECK(rig.world().counters().removes == 1);
    rig.loop.poll();
    CHECK(rig.world().counters().changes() == 2);
}

TEST_CASE("changes of interest are merged and told before the next wait", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.modify(fd, Interest::write);
    rig.loop.modify(fd, Interest::none);
    rig.loop.modify(fd, Interest::read | Interest::write);
    CHECK(rig.world().counters().modifies == 0);
    rig.loop.poll();
    CHECK(rig.world().counters().modifies == 1);
    CHECK(rig.world().registered(fd) == (Interest::read | Interest::write));
    rig.loop.poll();
    CHECK(rig.world().counters().modifies == 1);
}

TEST_CASE("interest that is switched on and off again costs no system call", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.modify(fd, Interest::read | Interest::write);
        rig.loop.modify(fd, Interest::read);
    }));
    for (int i = 0; i < 10; ++i) CHECK(rig.loop.poll() == 1);
    CHECK(rig.world().counters().modifies == 0);
}

TEST_CASE("a removed descriptor is no longer told of changes", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.modify(fd, Interest::write);
    rig.loop.remove(fd);
    rig.loop.poll();
    CHECK(rig.world().counters().modifies == 0);
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.poll();
    CHECK(rig.world().counters().modifies == 0);
    CHECK(rig.loop.interest(fd) == Interest::read);
}

TEST_CASE("a change that finds nothing in the poller is made an add", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::writable);
    std::vector<Readiness> heard;
    REQUIRE(rig.loop.add(fd, Interest::read, [&](Readiness ready) { heard.push_back(ready); }));
    rig.loop.modify(fd, Interest::write);
    rig.world().fail_next_modify(ENOENT);
    rig.loop.poll();
    CHECK(rig.world().counters().adds == 2);
    // The model still holds the old entry and refuses the second; on a kernel it is gone.
    CHECK(heard == std::vector{Readiness::error});
}

KERNEL_CASE("a descriptor that came back under its number is watched anew by a change",
            "[descriptors]") {
    if constexpr (TestType::traits.kernel) {
        Rig<TestType> rig;
        const int fd = rig.readable();
        const int other = rig.readable();
        std::vector<Readiness> heard;
        REQUIRE(
            rig.loop.add(fd, Interest::write, [&](Readiness ready) { heard.push_back(ready); }));
        REQUIRE(::dup3(other, fd, O_CLOEXEC) == fd);
        rig.loop.modify(fd, Interest::read);
        CHECK(rig.loop.poll() == 1);
        CHECK(heard == std::vector{Readiness::readable});
    }
}

// Replacing.

KERNEL_CASE("replace gives a direction another handler", "[descriptors]") {
    Rig<TestType> rig;
    const int fd = rig.ready_pair();
    std::string heard;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::write, [&] { heard += 'b'; }));
    REQUIRE(rig.loop.replace(fd, Interest::write, [&] { heard += 'w'; }));
    rig.loop.poll();
    CHECK(heard == "bw");
    REQUIRE(rig.loop.replace(fd, Interest::read, [&] { heard += 'r'; }));
    rig.loop.poll();
    CHECK(heard == "bwrw");
    REQUIRE(rig.loop.replace(fd, Interest::read | Interest::write, [&] { heard += 'a'; }));
    rig.loop.poll();
    CHECK(heard == "bwrwa");
}

TEST_CASE("a replaced handler keeps the other direction if that is watched", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable | Readiness::writable);
    std::string heard;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::write, [&] { heard += 'b'; }));
    REQUIRE(rig.loop.replace(fd, Interest::read, [&] { heard += 'r'; }));
    rig.loop.poll();
    CHECK(heard == "rb");
}

TEST_CASE("a handler that is replaced in all its directions is destroyed at once",
          "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    auto capture = std::make_shared<int>();
    const Interest direction = GENERATE(Interest::read, Interest::write);
    REQUIRE(rig.loop.add(fd, direction, [capture] {}));
    REQUIRE(capture.use_count() == 2);
    REQUIRE(rig.loop.replace(fd, direction, nothing));
    CHECK(capture.use_count() == 1);
    REQUIRE(rig.loop.replace(fd, Interest::read | Interest::write, [capture] {}));
    REQUIRE(rig.loop.replace(fd, Interest::read | Interest::write, nothing));
    CHECK(capture.use_count() == 1);
}

// What keeps run() going.

TEST_CASE("a watched descriptor keeps run() going, one in the background doesn't",
          "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const int quiet = rig.scripted();
    int left = 3;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        if (--left == 0) rig.loop.background(fd, true);
    }));
    REQUIRE(rig.loop.add(quiet, Interest::read, nothing));
    rig.loop.background(quiet, true);
    rig.loop.background(quiet, true);
    CHECK(rig.loop.run() == 3);
    rig.loop.remove(quiet);
    rig.loop.background(fd, false);
    left = 2;
    CHECK(rig.loop.run() == 2);
    // A number that was in the background isn't when it is added anew.
    rig.loop.remove(fd);
    left = 1;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        --left;
        rig.loop.remove(fd);
    }));
    CHECK(rig.loop.run() == 1);
}

// Memory.

TEST_CASE("each allocation that fails in add and replace leaves all as before", "[descriptors]") {
    using Counting = CountingMemory<60>;
    int refused = 0;
    for (int k = 1; k < 400; ++k) {
        Rig<ManualPoller, Counting> rig;
        std::vector<int> fds;
        for (int i = 0; i < 50; ++i) fds.push_back(rig.scripted(Readiness::readable));
        struct Large {
            char bytes[100];
        };
        size_t called = 0;
        size_t added = 0;
        const size_t before = Counting::refused();
        Counting::fail_after(k);
        for (const int fd : fds) {
            const auto done = rig.loop.add(
                fd, Interest::read, [&called, large = Large()] { called += large.bytes[0] == 0; },
                nothing);
            if (done) {
                ++added;
                continue;
            }
            CHECK(done.error() == ENOMEM);
            CHECK_FALSE(rig.world().registered(fd).has_value());
            CHECK(rig.loop.interest(fd) == Interest::none);
        }
        Counting::never_fail();
        if (Counting::refused() == before) break;
        ++refused;
        CHECK(added == fds.size() - 1);
        // What is there can be changed and removed without memory.
        Counting::fail_from(1);
        CHECK(rig.loop.poll() == added);
        CHECK(called == added);
        for (const int fd : fds) {
            if (rig.loop.interest(fd) == Interest::none) continue;
            CHECK(rig.loop
                      .replace(fd, Interest::read, [large = Large()] { static_cast<void>(large); })
                      .error() == ENOMEM);
            rig.loop.modify(fd, Interest::read | Interest::write);
        }
        CHECK(rig.loop.poll() == added);
        CHECK(called == 2 * added);
        CHECK(rig.world().counters().modifies == added);
        for (const int fd : fds) rig.loop.remove(fd);
        Counting::never_fail();
        CHECK(rig.loop.run() == 0);
    }
    CHECK(refused > 50);
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}

// The end.

TEST_CASE("a destroyed loop destroys captures and leaves descriptors alone", "[descriptors]") {
    ManualWorld world;
    const int fd = world.open_scripted();
    auto capture = std::make_shared<int>();
    {
        EventLoop<ManualPoller> loop{ManualPoller(world)};
        REQUIRE(loop.add(fd, Interest::read, [capture] {}, [capture] {}));
        REQUIRE(capture.use_count() == 3);
    }
    CHECK(capture.use_count() == 1);
    CHECK(world.open_descriptors() == 1);
    CHECK(world.counters().removes == 0);
}

TEST_CASE("calls made while the loop is destroyed do nothing", "[descriptors]") {
    ManualWorld world;
    const int fd = world.open_scripted();
    const int other = world.open_scripted();
    std::optional<EventLoop<ManualPoller>> loop;
    loop.emplace(ManualPoller(world));
    int ends = 0;
    for (const int each : {fd, other}) {
        REQUIRE(loop->add(each, Interest::read,
                          [end = AtEnd([&] {
                               ++ends;
                               loop->remove(fd);
                               loop->modify(other, Interest::write);
                               CHECK(loop->add(fd, Interest::read, nothing).error() == ECANCELED);
                               CHECK(loop->replace(other, Interest::read, nothing).error() ==
                                     ECANCELED);
                           })] { static_cast<void>(end); }));
    }
    loop.reset();
    CHECK(ends == 2);
}

TEST_CASE("the generations of a number begin again before a token could be all ones",
          "[descriptors]") {
    ManualPoller poller = ManualPoller::open().value();
    detail::TurnState state;
    detail::Descriptors<ManualPoller, Malloc> descriptors(poller, state);
    REQUIRE(descriptors.make_room());
    const int fd = poller.world().open_scripted();
    poller.world().set_ready(fd, Readiness::readable);
    int called = 0;
    std::vector<uint32_t> generations;
    const auto add_and_turn = [&] {
        BasicIoHandler<Malloc> handler = [&called] { ++called; };
        REQUIRE(descriptors.add(fd, Interest::read, handler, nullptr, 0, Where::here()));
        generations.push_back(descriptors.find(fd)->generation);
        descriptors.flush();
        descriptors.arrived(*poller.wait(descriptors.room(), Instant::min()));
        CHECK(descriptors.dispatch() == 1);
        descriptors.remove(fd);
    };
    add_and_turn();
    descriptors.find(fd)->generation = 0x7ffffffd;
    for (int i = 0; i < 3; ++i) add_and_turn();
    CHECK(generations == std::vector<uint32_t>{1, 0x7ffffffd, 0x7ffffffe, 1});
    CHECK(called == 4);
}

TEST_CASE("a batch that was full is delivered whole, and the next one may be twice as large") {
    ManualPoller poller = ManualPoller::open().value();
    detail::TurnState state;
    detail::Descriptors<ManualPoller, Malloc> descriptors(poller, state);
    REQUIRE(descriptors.make_room());
    std::vector<int> calls(200);
    for (int& count : calls) {
        const int fd = poller.world().open_scripted();
        poller.world().set_ready(fd, Readiness::readable);
        BasicIoHandler<Malloc> handler = [&count] { ++count; };
        REQUIRE(descriptors.add(fd, Interest::read, handler, nullptr, 0, Where::here()));
    }
    const auto turn = [&] {
        descriptors.arrived(*poller.wait(descriptors.room(), Instant::min()));
        return descriptors.dispatch();
    };
    CHECK(turn() == 64);
    CHECK(std::accumulate(calls.begin(), calls.end(), 0) == 64);
    CHECK(turn() == 128);
    CHECK(turn() == 200);
    CHECK(std::count(calls.begin(), calls.end(), 0) == 0);
}
