// SPDX-License-Identifier: BSL-1.0
#include <rondo/os/pin_thread.hpp>

#include <thread>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("a pinned thread may run on one processor, and no other thread is bound", "[threads]") {
    cpu_set_t before, after, pinned;
    REQUIRE(pthread_getaffinity_np(pthread_self(), sizeof before, &before) == 0);
    Result<void> answer;
    std::thread([&] {
        answer = detail::pin_thread(CPU_COUNT(&before) - 1);
        pthread_getaffinity_np(pthread_self(), sizeof pinned, &pinned);
    }).join();
    REQUIRE(answer);
    CHECK(CPU_COUNT(&pinned) == 1);
    CPU_AND(&after, &pinned, &before);
    CHECK(CPU_EQUAL(&after, &pinned));
    pthread_getaffinity_np(pthread_self(), sizeof after, &after);
    CHECK(CPU_EQUAL(&after, &before));
}

TEST_CASE("a processor that isn't there is EINVAL") {
    CHECK(detail::pin_thread(-1).error() == EINVAL);
    CHECK(detail::pin_thread(100'000).error() == EINVAL);
}
