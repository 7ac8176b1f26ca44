// SPDX-License-Identifier: BSL-1.0
// A little of thread: what must work in every way of building the library.

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/resolver.hpp>
#include <rondo/thread/worker_pool.hpp>

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
