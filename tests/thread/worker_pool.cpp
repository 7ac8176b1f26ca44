// SPDX-License-Identifier: BSL-1.0
// The loop is a ManualPoller's whose waits really block: the workers are real threads. Where a job
// must not end yet it waits at a gate that the case opens.
#include <rondo/thread/worker_pool.hpp>

#include <signal.h>

#include <array>
#include <latch>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Memories = CountingMemory<4711>;

template <class M = Malloc>
struct Works {
    using Loop = EventLoop<ManualPoller, NoObserver, M>;

    explicit Works(WorkerPoolOptions options = {}) : pool(std::in_place, loop(), options) {
        rig.world().let_threads_wake(true);
    }
    Loop& loop() { return rig.loop; }
    /// Jobs that hold all workers up until the gate is opened.
    void occupy() {
        std::latch busy(static_cast<ptrdiff_t>(pool->threads()));
        for (size_t i = 0; i < pool->threads(); ++i) {
            REQUIRE(pool->submit(
                [&] {
                    busy.count_down();
                    gate.wait();
                },
                [this] { ++freed; }));
        }
        busy.wait();
    }
    void open() { gate.count_down(); }

    Rig<ManualPoller, M> rig;
    std::latch gate{1};
    size_t freed = 0;
    std::optional<WorkerPool<Loop>> pool;
};

}  // namespace

static_assert(WorkExecutor<WorkerPool<EventLoop<ManualPoller>>>);

TEST_CASE("a job runs on another thread, and done on the loop's", "[threads]") {
    Works works;
    const auto mine = std::this_thread::get_id();
    std::thread::id at_work;
    std::thread::id told;
    int answer = 0;
    REQUIRE(works.pool->submit(
        [&] {
            at_work = std::this_thread::get_id();
            return 42;
        },
        [&](Outcome<int> outcome) {
            told = std::this_thread::get_id();
            answer = outcome.value();
        }));
    CHECK(answer == 0);
    works.loop().run();
    CHECK(answer == 42);
    CHECK(told == mine);
    CHECK(at_work != mine);
}

TEST_CASE("jobs under way keep run() going, an idle pool doesn't", "[threads]") {
    Works works;
    CHECK(works.loop().run() == 0);
    size_t told = 0;
    // It ends only when the loop is about to sleep, so there is no result before.
    std::atomic<bool> sleeps{false};
    const auto wake = [&] {
        sleeps = true;
        sleeps.notify_one();
    };
    const auto hook = works.loop().before_sleep(wake);
    REQUIRE(works.pool->submit([&] { sleeps.wait(false); }, [&] { ++told; }));
    works.loop().run();
    wake();
    CHECK(told == 1);
    for (int i = 0; i < 100; ++i) REQUIRE(works.pool->submit([] {}, [&] { ++told; }));
    works.loop().run();
    CHECK(told == 101);
    CHECK(works.pool->pending() == 0);
    CHECK(works.loop().run() == 0);
}

TEST_CASE("results may be void or move-only", "[threads]") {
    Works works;
    std::string got;
    std::ignore =
        works.pool->submit([] { return std::make_unique<std::string>("moved"); },
                           [&](Outcome<std::unique_ptr<std::string>> outcome) { got = **outcome; });
    bool returned = false;
    std::ignore =
        works.pool->submit([held = std::make_unique<int>(1)] { static_cast<void>(held); },
                           [&](Outcome<void> outcome) { returned = static_cast<bool>(outcome); });
    works.loop().run();
    CHECK(got == "moved");
    CHECK(returned);
}

TEST_CASE("what a job throws is given to its done", "[threads]") {
    Works works;
    std::string message;
    std::ignore = works.pool->submit([]() -> int { throw Thrown(); },
                                     [&](Outcome<int> outcome) {
                                         CHECK_FALSE(outcome);
                                         CHECK(outcome.exception());
                                         try {
                                             outcome.value();
                                         } catch (const Thrown& thrown) {
                                             message = thrown.what();
                                         }
                                     });
    works.loop().run();
    CHECK(message == "thrown by a handler");
}

TEST_CASE("what done throws leaves run(), and the rest is told later", "[threads]") {
    Works works({.threads = 1});
    size_t told = 0;
    std::ignore = works.pool->submit([] {}, [] { throw Thrown(); });
    std::ignore = works.pool->submit([] {}, [&] { ++told; });
    CHECK_THROWS_AS(works.loop().run(), Thrown);
    works.loop().run();
    CHECK(told == 1);
    CHECK(works.pool->pending() == 0);
}

TEST_CASE("a job that waits can be cancelled, one that runs can't", "[threads]") {
    Works works({.threads = 1});
    works.occupy();
    bool ran = false;
    auto held = std::make_shared<int>();
    const WorkId id = works.pool->submit([&ran] { ran = true; }, [&ran, held] { ran = true; });
    CHECK(works.pool->cancel(id));
    CHECK(held.use_count() == 1);
    CHECK_FALSE(works.pool->cancel(id));
    CHECK_FALSE(works.pool->cancel(WorkId()));
    WorkId running;
    works.open();
    works.loop().run();
    CHECK_FALSE(ran);
    std::latch started(1);
    std::latch end(1);
    bool told = false;
    running = works.pool->submit(
        [&] {
            started.count_down();
            end.wait();
        },
        [&] { told = true; });
    started.wait();
    CHECK_FALSE(works.pool->cancel(running));
    end.count_down();
    works.loop().run();
    CHECK(told);
    CHECK_FALSE(works.pool->cancel(running));
}

TEST_CASE("a full pool refuses, and tells when there is room again", "[threads]") {
    Works works({.threads = 1, .jobs_max = 3});
    works.occupy();
    size_t told = 0;
    size_t rooms = 0;
    REQUIRE(works.pool->on_space([&] {
        ++rooms;
        CHECK_FALSE(works.pool->full());
    }));
    const auto more = [&] { return works.pool->submit([] {}, [&] { ++told; }); };
    REQUIRE(more());
    const WorkId last = more();
    REQUIRE(last);
    CHECK(works.pool->full());
    CHECK_FALSE(more());
    CHECK(works.pool->cancel(last));
    works.loop().poll();
    works.loop().poll();
    CHECK(rooms == 1);
    REQUIRE(more());
    CHECK_FALSE(more());
    works.open();
    works.loop().run();
    CHECK(rooms == 2);
    CHECK(told == 2);
}

TEST_CASE("a second on_space is told what the first one was not told any more", "[threads]") {
    Works works({.threads = 1, .jobs_max = 2});
    works.occupy();
    size_t first = 0;
    size_t second = 0;
    REQUIRE(works.pool->on_space([&] { ++first; }));
    const WorkId last = works.pool->submit([] {}, [] {});
    CHECK_FALSE(works.pool->submit([] {}, [] {}));
    CHECK(works.pool->cancel(last));
    REQUIRE(works.pool->on_space([&] {
        if (++second == 1) CHECK(works.pool->on_space([&] { ++second; }));
    }));
    works.loop().poll();
    works.loop().poll();
    CHECK(first == 0);
    CHECK(second == 1);
    works.open();
    works.loop().run();
    CHECK(second == 1);
}

TEST_CASE("on_space isn't called when nothing was refused", "[threads]") {
    Works works({.threads = 1, .jobs_max = 1});
    size_t rooms = 0;
    REQUIRE(works.pool->submit([] {}, [] {}));
    CHECK_FALSE(works.pool->submit([] {}, [] {}));
    works.loop().run();  // nobody wanted to know
    REQUIRE(works.pool->on_space([&] { ++rooms; }));
    REQUIRE(works.pool->submit([] {}, [] {}));
    works.loop().run();
    CHECK(rooms == 0);
}

TEST_CASE("a drained pool takes no more, finishes all and tells", "[threads]") {
    Works works({.threads = 2});
    works.occupy();
    size_t told = 0;
    size_t told_before = 99;
    std::ignore = works.pool->submit([] {}, [&] { ++told; });
    REQUIRE(works.pool->drain([&] { told_before = told; }));
    CHECK_FALSE(works.pool->submit([] {}, [&] { ++told; }));
    works.open();
    works.loop().run();
    CHECK(told == 1);
    CHECK(told_before == 1);
    bool again = false;
    REQUIRE(works.pool->drain([&] { again = true; }));
    works.loop().run();
    CHECK(again);
}

TEST_CASE("the end of a pool waits for what runs, destroys what waits, and tells nobody",
          "[threads]") {
    Works works({.threads = 1});
    works.occupy();
    auto held = std::make_shared<int>();
    bool told = false;
    std::ignore = works.pool->submit([held] {}, [&told, held] { told = true; });
    std::thread opener([&] { works.open(); });
    works.pool.reset();
    opener.join();
    CHECK(held.use_count() == 1);
    works.loop().run();
    CHECK_FALSE(told);
    CHECK(works.freed == 0);
}

TEST_CASE("what waited when the pool ended may be cancelled by what its jobs hold", "[threads]") {
    Works works({.threads = 1});
    works.occupy();
    std::vector<WorkId> places;
    for (int i = 0; i < 3; ++i) places.push_back(works.pool->submit([] {}, [] {}));
    for (const size_t i : {1U, 0U, 2U}) REQUIRE(works.pool->cancel(places[i]));
    // The last one's place comes first now: of what waits in the order a, b, c, the pool sees b, c
    // and a.
    auto& pool = *works.pool;
    size_t cancelled = 0;
    const WorkId first = pool.submit([] {}, [] {});
    std::ignore = pool.submit([] {}, [] {});
    std::ignore = pool.submit([] {}, [held = AtEnd([&] { cancelled += pool.cancel(first); })] {});
    std::thread opener([&] { works.open(); });
    works.pool.reset();
    opener.join();
    CHECK(cancelled == 0);  // the pool has done that
}

TEST_CASE("a result that is on its way when the pool ends is dropped", "[threads]") {
    Works works({.threads = 1});
    auto held = std::make_shared<int>();
    bool told = false;
    std::latch first(1);
    std::ignore = works.pool->submit([] {}, [&told, held] { told = true; });
    std::ignore = works.pool->submit([&] { first.count_down(); }, [&told] { told = true; });
    first.wait();  // the first one has been posted
    works.pool.reset();
    CHECK(held.use_count() == 1);
    works.loop().run();
    CHECK_FALSE(told);
}

TEST_CASE("done may submit, cancel and stop the loop", "[threads]") {
    Works works({.threads = 1});
    int left = 10;
    struct Again {
        Works<>& works;
        int& left;
        void operator()() const {
            if (--left > 0)
                std::ignore = works.pool->submit([] {}, Again{works, left});
            else
                works.loop().stop();
        }
    };
    std::ignore = works.pool->submit([] {}, Again{works, left});
    works.loop().run();
    CHECK(left == 0);
}

TEST_CASE("a job costs one allocation after warm-up, and memory that is out refuses it",
          "[threads]") {
    Works<Memories> works({.threads = 1});
    size_t told = 0;
    const auto once = [&] { return works.pool->submit([] {}, [&] { ++told; }); };
    for (int i = 0; i < 300; ++i) {
        REQUIRE(once());
        works.loop().run();
    }
    const size_t before = Memories::allocations();
    for (int i = 0; i < 100; ++i) {
        REQUIRE(once());
        works.loop().run();
    }
    CHECK(Memories::allocations() == before + 100);
    Memories::fail_after(1);
    CHECK_FALSE(once());
    Memories::never_fail();
    CHECK(works.pool->pending() == 0);
    REQUIRE(once());
    works.loop().run();
    CHECK(told == 401);
    works.pool.reset();
    CHECK(Memories::mismatched() == 0);
}

TEST_CASE("a worker that can't tell because memory is out tells later", "[threads]") {
    Works<Memories> works({.threads = 1});
    works.occupy();
    bool told = false;
    std::ignore = works.pool->submit([] { Memories::never_fail(); }, [&] { told = true; });
    Memories::fail_after(1);  // the first post of the worker
    works.open();
    works.loop().run();
    CHECK(works.freed == 1);
    CHECK(told);
}

TEST_CASE("on_space and drain() without memory change nothing", "[threads]") {
    Works<Memories> works({.threads = 1, .jobs_max = 1});
    const std::array<char, 100> large{};
    size_t called = 0;
    for (int k : {1, 2}) {
        Memories::fail_after(k);
        CHECK_FALSE(works.pool->on_space([large, &called] { called += 1U + size_t(large[0]); }));
        Memories::fail_after(k);
        CHECK_FALSE(works.pool->drain([large, &called] { called += 1U + size_t(large[0]); }));
        Memories::never_fail();
    }
    CHECK(works.pool->submit([] {}, [] {}));  // it isn't drained
    CHECK_FALSE(works.pool->submit([] {}, [] {}));
    works.loop().run();
    CHECK(called == 0);
    REQUIRE(works.pool->drain([large, &called] { called += 1U + size_t(large[0]); }));
    works.loop().run();
    CHECK(called == 1);
}

TEST_CASE("workers leave the signals of the process to other threads", "[threads]") {
    Works works({.threads = 1});
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, nullptr, &mine);
    CHECK(sigismember(&mine, SIGTERM) == 0);
    std::ignore = works.pool->submit(
        [] {
            sigset_t blocked;
            pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
            return blocked;
        },
        [](Outcome<sigset_t> blocked) {
            CHECK(sigismember(&*blocked, SIGTERM) == 1);
            CHECK(sigismember(&*blocked, SIGCHLD) == 1);
            CHECK(sigismember(&*blocked, SIGSEGV) == 0);
        });
    works.loop().run();
}

TEST_CASE("two loops have a pool each", "[threads]") {
    Works works;
    std::thread other([] {
        Works others;
        int told = 0;
        for (int i = 0; i < 50; ++i) std::ignore = others.pool->submit([] {}, [&] { ++told; });
        others.loop().run();
        if (told != 50) abort();
    });
    int told = 0;
    for (int i = 0; i < 50; ++i) std::ignore = works.pool->submit([] {}, [&] { ++told; });
    works.loop().run();
    other.join();
    CHECK(told == 50);
}

TEST_CASE("a pool says what is wrong") {
    const auto none = dies([] { Works works({.threads = 0}); });
    CHECK(none.aborted);
    CHECK_THAT(none.message, ContainsSubstring("needs at least one thread"));
    const auto suicide = dies([] {
        Works works;
        std::ignore = works.pool->submit([] {}, [&] { works.pool.reset(); });
        works.loop().run();
    });
    CHECK(suicide.aborted);
    CHECK_THAT(suicide.message, ContainsSubstring("must not destroy the pool"));
    const auto empty = dies([] {
        Works works;
        void (*nothing)() = nullptr;
        std::ignore = works.pool->submit(nothing, [] {});
    });
    CHECK(empty.aborted);
    CHECK_THAT(empty.message, ContainsSubstring("give it a callable"));
}
