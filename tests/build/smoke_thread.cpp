// SPDX-License-Identifier: BSL-1.0
// A little of thread: what must work in every way of building the library.

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/resolver.hpp>
#include <rondo/thread/loop_group.hpp>
#include <rondo/thread/worker_pool.hpp>

#include <atomic>
#include <memory>

#include "support/catch.hpp"

TEST_CASE("a job and a lookup come back to the loop, in every build", "[smoke][kernel]") {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    rondo::WorkerPool pool(loop, {.threads = 2});
    rondo::Resolver resolver(loop, pool);
    int sum = 0;
    REQUIRE(pool.submit([] { return 40; }, [&](rondo::Outcome<int> got) { sum += *got; }));
    REQUIRE(resolver.resolve("127.0.0.1", 80, [&](rondo::ResolveResult found) {
        REQUIRE(found);
        sum += (*found)[0].port() == 80 ? 2 : 0;
    }));
    loop.run();
    CHECK(sum == 42);
}

TEST_CASE("a task runs on another loop's thread, in every build", "[smoke][kernel]") {
    using Loop = rondo::EventLoop<rondo::DefaultPoller>;
    std::atomic<int> sum = 0;
    {
        rondo::LoopGroup<Loop, std::atomic<int>> group;
        const auto one = [](Loop&, size_t) -> rondo::Result<std::unique_ptr<std::atomic<int>>> {
            return std::make_unique<std::atomic<int>>(1);
        };
        REQUIRE(group.start(one, {.threads = 2}));
        for (size_t i = 0; i < 2; ++i) {
            const auto add = [&sum, &group, i](std::atomic<int>& mine) {
                sum += mine;
                if (sum == 2) group.stop();
                group.finished(i);
            };
            CHECK(group.give(i, -1, [add](std::atomic<int>& mine, int) { add(mine); }) ==
                  rondo::PostStatus::queued);
        }
        group.join();
    }
    CHECK(sum == 2);
}
