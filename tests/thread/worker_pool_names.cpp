// SPDX-License-Identifier: BSL-1.0
// A resolver on a pool, with the names of this machine.
#include <rondo/backend/default_poller.hpp>
#include <rondo/net/resolver.hpp>
#include <rondo/thread/worker_pool.hpp>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("localhost and numeric addresses are found through a pool", "[threads][kernel]") {
    EventLoop<DefaultPoller> loop;
    WorkerPool pool(loop, {.threads = 2});
    Resolver resolver(loop, pool);
    int answers = 0;
    REQUIRE(resolver.resolve("localhost", 80, [&](ResolveResult found) {
        ++answers;
        REQUIRE(found);
        for (const Endpoint& at : *found) {
            const bool loopback =
                at == Endpoint::ipv6_loopback(80) || at.unmapped().address()[0] == 127;
            CHECK(loopback);
            CHECK(at.port() == 80);
        }
    }));
    REQUIRE(resolver.resolve("127.0.0.1", 443, [&](ResolveResult found) {
        ++answers;
        REQUIRE(found);
        CHECK((*found)[0] == Endpoint::ipv4_loopback(443));
    }));
    loop.run();
    CHECK(answers == 2);
}

TEST_CASE("a resolver may go while its lookups run", "[threads][kernel]") {
    EventLoop<DefaultPoller> loop;
    WorkerPool pool(loop, {.threads = 1});
    bool answered = false;
    {
        Resolver resolver(loop, pool);
        for (int i = 0; i < 20; ++i) {
            REQUIRE(resolver.resolve("localhost", 80, [&] { answered = true; }));
        }
    }
    loop.run();
    CHECK_FALSE(answered);
}
