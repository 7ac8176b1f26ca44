// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/task_pool.hpp>

#include <stdlib.h>

#include <vector>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using rondo::detail::TaskCache;
using rondo::detail::TaskNode;
using rondo::detail::TaskPool;

namespace {

using Counting = rondo::test::CountingMemory<320>;
using Pool = TaskPool<Counting>;
using Cache = TaskCache<Counting>;

std::vector<TaskNode*> take(Pool& pool, Cache& cache, size_t count) {
    std::vector<TaskNode*> nodes;
    for (size_t i = 0; i < count; ++i) nodes.push_back(cache.take(pool));
    return nodes;
}

}  // namespace

TEST_CASE("a slab comes back in the order of its addresses, however its nodes were mixed") {
    Pool pool;
    Cache first;
    Cache second;
    for (int round = 0; round < 5; ++round) {
        const auto one = take(pool, first, Pool::bundle_size);
        const auto other = take(pool, second, Pool::bundle_size);
        for (size_t i = 0; i < Pool::bundle_size; ++i) {
            if (i > 0) CHECK(one[i] == one[i - 1] + 1);
            if (i > 0) CHECK(other[i] == other[i - 1] + 1);
        }
        for (size_t i = 0; i < Pool::bundle_size; ++i) {
            pool.give_back(one[(i * 7) % Pool::bundle_size]);
            pool.give_back(other[Pool::bundle_size - 1 - i]);
        }
    }
    CHECK(Counting::held() == 2);
}

TEST_CASE("a slab is out until the last of its nodes is back") {
    Pool pool;
    Cache cache;
    const auto nodes = take(pool, cache, Pool::bundle_size);
    for (size_t i = 1; i < nodes.size(); ++i) pool.give_back(nodes[i]);
    CHECK(cache.take(pool) != nodes[0] + 1);
    CHECK(Counting::held() == 2);
    pool.give_back(nodes[0]);
    Cache another;
    CHECK(another.take(pool) == nodes[0]);
    CHECK(Counting::held() == 2);
}

TEST_CASE("a node that was taken and not used is the next to be taken") {
    Pool pool;
    Cache cache;
    TaskNode* const node = cache.take(pool);
    cache.untake(node);
    CHECK(cache.take(pool) == node);
}

TEST_CASE("what a cache gives up is used by the next one, and the slab still comes back whole") {
    Pool pool;
    std::vector<TaskNode*> nodes;
    for (size_t i = 0; i < Pool::bundle_size; ++i) {
        Cache brief;
        nodes.push_back(brief.take(pool));
        brief.flush(pool);
    }
    CHECK(Counting::held() == 1);
    for (TaskNode* const node : nodes) pool.give_back(node);
    Cache cache;
    CHECK(cache.take(pool) == nodes[0]);
    CHECK(Counting::held() == 1);
}

TEST_CASE("no memory is no node") {
    Pool pool;
    Cache cache;
    Counting::fail_after(1);
    CHECK(cache.take(pool) == nullptr);
    Counting::never_fail();
    CHECK(cache.take(pool) != nullptr);
}

TEST_CASE("a Memory policy that ignores the alignment asserts") {
    struct Careless {
        static void* allocate(size_t size, size_t) noexcept {
            return static_cast<char*>(aligned_alloc(16384, size + 16384)) + 64;
        }
        static void release(void* address, size_t, size_t) noexcept {
            free(static_cast<char*>(address) - 64);
        }
    };
    TaskPool<Careless> pool;
    const auto death = dies([&] { static_cast<void>(pool.pop_node()); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("must honour the alignment"));
}
