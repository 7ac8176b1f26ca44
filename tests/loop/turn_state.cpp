// SPDX-License-Identifier: BSL-1.0
// What handlers may do to themselves and to the turn: retired closures, exceptions, stops, nested
// turns.

#include <rondo/loop/turn_state.hpp>

#include <memory>
#include <optional>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

constexpr Interest read_write = Interest::read | Interest::write;
constexpr Readiness both_ready = Readiness::readable | Readiness::writable;
const auto nothing = [] {};

}  // namespace

// Retired closures.

TEST_CASE("a removed handler is destroyed at once", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted();
    auto capture = std::make_shared<int>();
    REQUIRE(rig.loop.add(fd, Interest::read, [capture] {}, [capture] {}));
    rig.loop.remove(fd);
    CHECK(capture.use_count() == 1);
}

TEST_CASE("a handler that is removed while it runs is destroyed when it returns", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const bool throwing = GENERATE(false, true);
    std::string told;
    REQUIRE(rig.loop.add(fd, Interest::read, [&, end = AtEnd([&] { told += "destroyed"; })] {
        rig.loop.remove(fd);
        told += "running ";
        static_cast<void>(end);
        if (throwing) throw Thrown();
    }));
    if (throwing) {
        CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    } else {
        CHECK(rig.loop.poll() == 1);
    }
    CHECK(told == "running destroyed");
}

TEST_CASE("a handler that is replaced while it runs is destroyed when it returns", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    std::string told;
    REQUIRE(rig.loop.add(fd, Interest::read, [&, end = AtEnd([&] { told += "destroyed"; })] {
        REQUIRE(rig.loop.replace(fd, read_write, nothing));
        told += "running ";
        static_cast<void>(end);
    }));
    rig.loop.poll();
    CHECK(told == "running destroyed");
}

TEST_CASE("a handler retired by a nested turn is destroyed when the outer call returns",
          "[turn_state]") {
    ManualRig rig;
    const int outer = rig.scripted(Readiness::readable);
    const int inner = rig.scripted(Readiness::readable);
    std::string told;
    REQUIRE(rig.loop.add(outer, Interest::read, [&, end = AtEnd([&] { told += " outer gone"; })] {
        told += "(";
        rig.loop.poll();
        told += ")";
        static_cast<void>(end);
    }));
    REQUIRE(rig.loop.add(inner, Interest::read, [&, end = AtEnd([&] { told += "inner gone"; })] {
        rig.loop.remove(outer);
        rig.loop.remove(inner);
        static_cast<void>(end);
    }));
    rig.loop.run();
    CHECK(told == "(inner gone) outer gone");
}

TEST_CASE("the destructor of a retired handler runs last and may call the loop", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const int other = rig.scripted(Readiness::readable);
    const int added = rig.scripted(Readiness::readable);
    std::string told;
    const auto cancelled = rig.loop.after(Duration(0), [&] { told += "timer "; });
    REQUIRE(
        rig.loop.add(fd, Interest::read, [&, end = AtEnd([&] {
                                                 rig.loop.remove(other);
                                                 REQUIRE(rig.loop.add(fd, Interest::read, [&] {
                                                     told += "again ";
                                                     rig.loop.remove(fd);
                                                 }));
                                                 REQUIRE(rig.loop.add(added, Interest::read, [&] {
                                                     told += "added ";
                                                     rig.loop.remove(added);
                                                 }));
                                                 CHECK(rig.loop.defer([&] { told += "task "; }));
                                                 CHECK(rig.loop.cancel(cancelled));
                                                 rig.loop.poll();
                                                 told += "end ";
                                             })] {
            rig.loop.remove(fd);
            static_cast<void>(end);
        }));
    REQUIRE(rig.loop.add(other, Interest::read, [&] { told += "other "; }));
    rig.loop.run();
    CHECK(told == "task again added end ");
}

TEST_CASE("destructors of two retired handlers may call the loop", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted();
    int ends = 0;
    const auto end = [&] {
        return AtEnd([&] {
            ++ends;
            rig.loop.remove(fd);
            CHECK(rig.loop.interest(fd) == Interest::none);
        });
    };
    REQUIRE(rig.loop.add(
        fd, read_write, [e = end()] { static_cast<void>(e); },
        [e = end()] { static_cast<void>(e); }));
    rig.loop.remove(fd);
    CHECK(ends == 2);
}

TEST_CASE("a handler may destroy the object that owns its watch", "[turn_state]") {
    ManualRig rig;
    struct Owner {
        ManualRig::Loop::Watch watch;
        std::string text = "a member";
    };
    const int fd = rig.scripted(Readiness::readable);
    auto owner = std::make_unique<Owner>();
    int called = 0;
    owner->watch = *rig.loop.watch(fd, Interest::read, [&] {
        ++called;
        CHECK(owner->text == "a member");
        owner.reset();
        ++called;
    });
    CHECK(rig.loop.run() == 1);
    CHECK(called == 2);
    CHECK(rig.loop.interest(fd) == Interest::none);
}

TEST_CASE("a handler retired by a nested turn is destroyed before the next one runs",
          "[turn_state]") {
    ManualRig rig;
    const int outer = rig.scripted(both_ready);
    const int inner = rig.scripted(Readiness::readable);
    std::string told;
    REQUIRE(rig.loop.add(
        outer, read_write,
        [&, end = AtEnd([&] { told += "gone "; })] {
            rig.loop.poll();
            told += "returned ";
            static_cast<void>(end);
        },
        [&] { told += "second "; }));
    REQUIRE(rig.loop.add(inner, Interest::read, [&] {
        told.clear();
        REQUIRE(rig.loop.replace(outer, Interest::read, nothing));
        rig.loop.remove(inner);
    }));
    rig.loop.poll();
    CHECK_THAT(told, ContainsSubstring("returned gone second"));
}

// The rest of a batch.

TEST_CASE("an exception leaves run() and the rest of the batch comes first in the next",
          "[turn_state]") {
    ManualRig rig;
    std::string heard;
    for (const char name : {'a', 'b', 'c'}) {
        const int fd = rig.scripted(Readiness::readable);
        REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&, fd, name] {
            rig.loop.remove(fd);
            heard += name;
            if (name != 'c') throw Thrown();
        }));
    }
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(heard == "a");
    const size_t waits = rig.world().counters().waits;
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(heard == "ab");
    CHECK(rig.loop.run() == 1);
    CHECK(heard == "abc");
    CHECK(rig.world().counters().waits == waits);
}

TEST_CASE("a stop keeps the rest of the batch for the next run, which doesn't wait first",
          "[turn_state]") {
    ManualRig rig;
    std::string heard;
    for (const char name : {'a', 'b', 'c'}) {
        const int fd = rig.scripted(Readiness::readable);
        REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&, name] {
            heard += name;
            rig.loop.stop();
        }));
    }
    for (const char* so_far : {"a", "ab", "abc"}) {
        CHECK(rig.loop.run() == 1);
        CHECK(heard == so_far);
    }
    CHECK(rig.world().counters().waits == 1);
    CHECK(rig.loop.poll() == 0);
}

TEST_CASE("the rest of a batch is checked again when it is delivered", "[turn_state]") {
    ManualRig rig;
    const int first = rig.scripted(Readiness::readable);
    const int second = rig.scripted(Readiness::readable);
    const int third = rig.scripted(Readiness::readable);
    int called = 0;
    REQUIRE(rig.loop.add(first, Interest::read, [&] { rig.loop.stop(); }));
    REQUIRE(rig.loop.add(second, Interest::read, [&] { ++called; }));
    REQUIRE(rig.loop.add(third, Interest::read, [&] { ++called; }));
    rig.loop.run();
    rig.loop.modify(first, Interest::none);
    rig.loop.remove(second);
    REQUIRE(rig.loop.add(second, Interest::read, [&] { called += 10; }));
    rig.loop.modify(third, Interest::write);
    CHECK(rig.loop.run_once() == 0);
    CHECK(called == 0);
    CHECK(rig.loop.rebuilds() == 0);
    rig.loop.poll();
    CHECK(called == 10);
}

TEST_CASE("a nested poll finishes the outer rest, each once, and never the running handler",
          "[turn_state]") {
    ManualRig rig;
    std::string heard;
    for (const char name : {'a', 'b', 'c', 'd'}) {
        const int fd = rig.scripted(Readiness::readable);
        REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&, name] {
            heard += name;
            if (name == 'b') {
                heard += '(';
                CHECK(rig.loop.poll() == 2);
                heard += ')';
            }
        }));
    }
    CHECK(rig.loop.poll() == 4 - 2);  // the nested turn has counted its own
    CHECK(heard == "ab(cd)");
    CHECK(rig.loop.poll() == 0);
}

KERNEL_CASE("a running handler is never entered again by a nested poll", "[turn_state]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    const int other = rig.readable();
    int depth = 0;
    int others = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        CHECK(++depth == 1);
        for (int i = 0; i < 5; ++i) rig.loop.poll();
        --depth;
        rig.loop.remove(fd);
        rig.loop.remove(other);
    }));
    REQUIRE(rig.loop.add(other, Interest::read, [&] { ++others; }));
    rig.loop.run();
    CHECK(others >= 5);
}

TEST_CASE("the other handler of a descriptor may run in a nested turn", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    std::string heard;
    REQUIRE(rig.loop.add(
        fd, read_write,
        [&] {
            heard += "(";
            rig.loop.poll();
            heard += ")";
            rig.loop.remove(fd);
        },
        [&] { heard += 'w'; }));
    rig.loop.run();
    CHECK(heard == "(w)");
}

TEST_CASE("a nested poll in the middle of the batch leaves the outer turn what it adds",
          "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    std::vector<int> many;
    size_t called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.remove(fd);
        for (int i = 0; i < 200; ++i) {
            many.push_back(rig.scripted(Readiness::readable));
            REQUIRE(rig.loop.add(many.back(), Interest::read, [&] { ++called; }));
        }
        rig.loop.poll();
        rig.loop.poll();
        rig.loop.poll();
    }));
    rig.loop.poll();
    CHECK(called >= 200);
}

// Descriptors closed without remove while a duplicate lives.

TEST_CASE("an event of a closed descriptor leads to its removal or to a new set", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const int kept = rig.scripted(Readiness::readable);
    int zombie = 0;
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { ++zombie; }));
    REQUIRE(rig.loop.add(kept, Interest::read, [&] { ++called; }));
    rig.own(rig.world().insert(rig.world().shared(fd)));
    rig.close(fd);
    rig.loop.remove(fd);  // too late: the poller answers EBADF
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.rebuilds() == 1);
    CHECK(zombie == 0);
    CHECK(rig.world().registered(kept) == Interest::read);
    CHECK_FALSE(rig.world().registered(fd));
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 2);
}

TEST_CASE("a dead generation that the poller can remove costs no new set", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.world().fail_next_remove(EBADF);
    rig.loop.remove(fd);
    REQUIRE(rig.world().registered(fd));
    rig.loop.poll();
    CHECK_FALSE(rig.world().registered(fd));
    CHECK(rig.loop.rebuilds() == 0);
}

TEST_CASE("new sets are limited to one in 64 batches", "[turn_state]") {
    ManualRig rig;
    const Token dead(999, 7);
    for (int i = 0; i < 200; ++i) {
        rig.world().inject_event(dead, Readiness::readable);
        rig.loop.poll();
    }
    CHECK(rig.loop.rebuilds() == 4);
    CHECK(rig.world().counters().reopens == 4);
}

TEST_CASE("a new set that can't be opened is tried again; one that loses a descriptor tells",
          "[turn_state]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::vector<Readiness> heard;
    REQUIRE(rig.loop.add(fd, Interest::read, [&](Readiness ready) { heard.push_back(ready); }));
    rig.world().fail_next_reopen(EMFILE);
    rig.world().inject_event(Token(999, 7), Readiness::readable);
    rig.loop.poll();
    CHECK(rig.loop.rebuilds() == 0);
    rig.world().inject_event(Token(999, 7), Readiness::readable);
    rig.world().fail_next_add(ENOSPC);
    rig.loop.poll();
    CHECK(rig.loop.rebuilds() == 1);
    CHECK(rig.loop.run_once() == 1);
    CHECK(heard == std::vector{Readiness::error});
}

KERNEL_CASE("a closed descriptor whose duplicate lives neither calls nor spins", "[turn_state]") {
    if constexpr (TestType::traits.kernel) {
        Rig<TestType> rig;
        const int fd = rig.readable();
        const int kept = rig.readable();
        int called = 0;
        REQUIRE(rig.loop.add(fd, Interest::read, nothing));
        REQUIRE(rig.loop.add(kept, Interest::read, [&] { ++called; }));
        const int copy = rig.own(::dup(fd));
        REQUIRE(copy >= 0);
        rig.close(fd);
        rig.loop.remove(fd);
        rig.loop.poll();
        rig.loop.poll();
        CHECK(rig.loop.rebuilds() == (TestType::traits.native_handle ? 1 : 0));
        CHECK(called == 2);
        rig.loop.remove(kept);
        CHECK(rig.loop.run() == 0);
        // The copy can be watched under a number of its own, and the old number by somebody else.
        REQUIRE(rig.loop.add(copy, Interest::read, [&] { ++called; }));
        CHECK(rig.loop.poll() == 1);
        CHECK(called == 3);
    }
}

KERNEL_CASE("close() ends the registration and the descriptor; a duplicate that lives doesn't spin",
            "[turn_state]") {
    Rig<TestType> rig;
    const int fd = rig.pipe().first;
    const int kept = rig.readable();
    int called = 0;
    auto captured = std::make_shared<int>();
    const std::weak_ptr<int> watched = captured;
    REQUIRE(rig.loop.add(fd, Interest::read, [captured = std::move(captured)] {}));
    REQUIRE(rig.loop.add(kept, Interest::read, [&] { ++called; }));
    rig.loop.close(fd);
    rig.disown(fd);
    CHECK(watched.expired());
    CHECK(rig.loop.interest(fd) == Interest::none);
    CHECK_FALSE(rig.loop.sockets().set_non_blocking(fd, true));
    rig.loop.close(fd);  // of what isn't open: nothing
    rig.loop.close(-1);
    const int reused = rig.readable();
    if constexpr (TestType::traits.kernel) CHECK(reused == fd);
    REQUIRE(rig.loop.add(reused, Interest::read, [&] { ++called; }));
    CHECK(rig.loop.poll() == 2);
    CHECK(called == 2);
    if constexpr (TestType::traits.kernel) REQUIRE(rig.own(::dup(reused)) >= 0);
    rig.loop.close(reused);
    rig.disown(reused);
    for (int i = 0; i < 3; ++i) CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.rebuilds() == (TestType::traits.closing_removes ? 1 : 0));
    rig.loop.remove(kept);
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("close() removes where closing alone is not enough", "[turn_state]") {
    ManualRig rig;
    const int fd = rig.world().open_scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.close(fd);
    CHECK(rig.world().counters().removes == 1);
    CHECK_FALSE(rig.world().registered(fd));
    CHECK(rig.world().find(fd) == nullptr);
}

// Memory.

TEST_CASE("after warm-up dispatch allocates nothing", "[turn_state]") {
    using Counting = CountingMemory<61>;
    Rig<ManualPoller, Counting> rig;
    const int toggled = rig.scripted(both_ready);
    const int replaced = rig.scripted(both_ready);
    const int renewed = rig.scripted(Readiness::readable);
    const int once = rig.scripted(Readiness::readable);
    struct Renew {
        decltype(rig)& self;
        int fd;
        void operator()() const {
            self.loop.remove(fd);
            REQUIRE(self.loop.add(fd, Interest::read, *this));
        }
    };
    REQUIRE(rig.loop.add(toggled, Interest::read, [&] {
        rig.loop.modify(toggled, rig.loop.interest(toggled) ^ Interest::write);
    }));
    REQUIRE(rig.loop.add(replaced, read_write, nothing,
                         [&] { REQUIRE(rig.loop.replace(replaced, Interest::read, nothing)); }));
    REQUIRE(rig.loop.add(renewed, Interest::read, Renew{rig, renewed}));
    REQUIRE(rig.loop.add(once, Interest::read | Interest::oneshot,
                         [&] { rig.loop.modify(once, Interest::read); }));
    for (int i = 0; i < 3; ++i) rig.loop.poll();
    const size_t before = Counting::allocations();
    for (int i = 0; i < 100; ++i) CHECK(rig.loop.poll() >= 4);
    CHECK(Counting::allocations() == before);
}
