// SPDX-License-Identifier: BSL-1.0
// The poller that other tests stand on: its clock, its scripts, its threads, its signals and
// children. That it keeps the contract is checked in conformance.cpp, that its network behaves like
// a kernel's in manual_network.cpp.
#include "support/manual_poller.hpp"

#include <thread>

#include "support/catch.hpp"

using namespace rondo;
using rondo::test::ManualPoller;
using rondo::test::ManualWorld;

namespace {

struct Fixture {
    ManualWorld world;
    ManualPoller poller{world};
    ManualPoller::Event events[8];

    size_t wait(Instant deadline = Instant::min()) { return poller.wait(events, deadline).value(); }
    int watched(Interest interest) {
        const int fd = world.open_scripted();
        REQUIRE(poller.add(fd, interest, Token(fd, 1)));
        return fd;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "the manual clock stands still unless it is told to move") {
    const Instant start = poller.now();
    CHECK(wait() == 0);
    CHECK(poller.now() == start);
    world.advance(Duration::milliseconds(5));
    CHECK(poller.now() == start + Duration::milliseconds(5));
    CHECK(world.counters().clock_reads == 3);
}

TEST_CASE_METHOD(Fixture, "a manual wait moves the clock to its deadline exactly") {
    const Instant deadline = world.time() + Duration(123);
    CHECK(wait(deadline) == 0);
    CHECK(world.time() == deadline);
    CHECK(world.last_deadline() == deadline);
}

TEST_CASE_METHOD(Fixture, "a manual wait with something ready takes no time") {
    const int fd = watched(Interest::read);
    world.set_ready(fd, Readiness::readable);
    const Instant start = world.time();
    CHECK(wait(start + Duration::seconds(1)) == 1);
    CHECK(world.time() == start);
}

TEST_CASE_METHOD(Fixture, "a scheduled action happens inside the wait that reaches it") {
    const int fd = watched(Interest::read);
    const Instant start = world.time();
    world.schedule(Duration(50), [&] { world.set_ready(fd, Readiness::readable); });
    CHECK(wait(start + Duration(49)) == 0);
    CHECK(wait(start + Duration(1000)) == 1);
    CHECK(world.time() == start + Duration(50));
}

TEST_CASE_METHOD(Fixture, "a scheduled action also ends a wait without a deadline") {
    const int fd = watched(Interest::read);
    world.schedule(Duration(50), [&] { world.set_ready(fd, Readiness::readable); });
    CHECK(wait(Instant::max()) == 1);
    CHECK(world.would_block_forever() == 0);
}

TEST_CASE_METHOD(Fixture, "a wait that nothing can end is counted") {
    CHECK(wait(Instant::max()) == 0);
    CHECK(wait(Instant::max()) == 0);
    CHECK(world.would_block_forever() == 2);
    poller.wake();
    CHECK(wait(Instant::max()) == 0);
    CHECK(world.would_block_forever() == 2);
}

TEST_CASE_METHOD(Fixture, "another thread may wake a manual poller") {
    world.let_threads_wake(true);
    for (int i = 0; i < 50; ++i) {
        std::thread other([&] { poller.wake(); });
        CHECK(wait(Instant::max()) == 0);
        other.join();
    }
    CHECK(world.would_block_forever() == 0);
}

TEST_CASE_METHOD(Fixture, "an injected readiness is reported once, as far as it is wanted") {
    const int fd = watched(Interest::read);
    world.inject(fd, Readiness::priority | Readiness::readable);
    REQUIRE(wait() == 1);
    CHECK(events[0].token() == Token(fd, 1));
    CHECK(events[0].readiness() == Readiness::readable);
    CHECK(wait() == 0);
}

TEST_CASE_METHOD(Fixture, "an injected event comes whether anybody wants it or not") {
    world.inject_event(Token(7, 9), Readiness::hangup);
    REQUIRE(wait() == 1);
    CHECK(events[0].token() == Token(7, 9));
    CHECK(events[0].readiness() == Readiness::hangup);
    CHECK(wait() == 0);
}

TEST_CASE_METHOD(Fixture, "a scripted failure hits the next call only") {
    const int fd = world.open_scripted();
    world.fail_next_add(ENOMEM);
    CHECK(poller.add(fd, Interest::read, Token(fd, 1)).error() == ENOMEM);
    CHECK_FALSE(world.registered(fd).has_value());
    CHECK(poller.add(fd, Interest::read, Token(fd, 1)));
    world.fail_next_modify(ENOENT);
    CHECK(poller.modify(fd, Interest::read, Interest::write, Token(fd, 1)).error() == ENOENT);
    CHECK(world.registered(fd) == Interest::read);
    CHECK(poller.modify(fd, Interest::read, Interest::write, Token(fd, 1)));
    CHECK(world.registered(fd) == Interest::write);
    world.fail_next_remove(EBADF);
    CHECK(poller.remove(fd, Interest::write).error() == EBADF);
    CHECK(poller.remove(fd, Interest::write));
    world.fail_next_reopen(EMFILE);
    CHECK(poller.reopen().error() == EMFILE);
    CHECK(poller.reopen());
    world.fail_next_wait(EINVAL);
    CHECK(poller.wait(events, Instant::min()).error() == EINVAL);
    CHECK(wait() == 0);
}

TEST_CASE_METHOD(Fixture, "an interrupted manual wait is no event and takes no time") {
    const int fd = watched(Interest::read);
    world.set_ready(fd, Readiness::readable);
    world.interrupt_next_wait();
    const Instant start = world.time();
    CHECK(wait(start + Duration(9)) == 0);
    CHECK(world.time() == start);
    CHECK(wait() == 1);
}

TEST_CASE_METHOD(Fixture, "every call is counted, failed ones too") {
    const int fd = watched(Interest::read);
    CHECK_FALSE(poller.add(fd, Interest::read, Token(fd, 1)));
    CHECK(poller.modify(fd, Interest::read, Interest::write, Token(fd, 1)));
    CHECK(poller.remove(fd, Interest::write));
    poller.wake();
    wait();
    CHECK(world.counters().adds == 2);
    CHECK(world.counters().modifies == 1);
    CHECK(world.counters().removes == 1);
    CHECK(world.counters().changes() == 4);
    CHECK(world.counters().wakes == 1);
    CHECK(world.counters().waits == 1);
    world.reset_counters();
    CHECK(world.counters().changes() == 0);
}

TEST_CASE_METHOD(Fixture, "a raised signal is readable until it is taken, if it was added") {
    auto& system = poller.system();
    const int fd = system.open_signals().value();
    CHECK(system.open_signals().value() == fd);
    REQUIRE(poller.add(fd, Interest::read, Token(fd, 1)));
    world.raise_signal(15);
    CHECK(wait() == 0);
    REQUIRE(system.add_signal(15));
    REQUIRE(system.add_signal(2));
    world.raise_signal(15);
    world.raise_signal(2);
    CHECK(wait() == 1);
    CHECK(system.take_signals() == ((1U << 14) | (1U << 1)));
    CHECK(wait() == 0);
    system.remove_signal(15);
    world.raise_signal(15);
    CHECK(wait() == 0);
}

TEST_CASE_METHOD(Fixture, "the end of a child is readable and reaped once") {
    auto& system = poller.system();
    const int fd = system.watch_child(77).value();
    REQUIRE(poller.add(fd, Interest::read, Token(fd, 1)));
    CHECK(system.reap_child(77).error() == EAGAIN);
    CHECK(wait() == 0);
    world.end_child(77, 3);
    CHECK(wait() == 1);
    const ChildStatus status = system.reap_child(77).value();
    CHECK(status.pid == 77);
    CHECK(status.code == 3);
    CHECK_FALSE(status.signaled);
    CHECK(system.reap_child(77).error() == EAGAIN);
    system.unwatch_child(77, fd);
    CHECK(world.find(fd) == nullptr);
}

TEST_CASE_METHOD(Fixture, "a child that had ended before it was watched is readable at once") {
    world.end_child(78, 9, true);
    const int fd = poller.system().watch_child(78).value();
    REQUIRE(poller.add(fd, Interest::read, Token(fd, 1)));
    CHECK(wait() == 1);
    CHECK(poller.system().reap_child(78).value().signaled);
}
