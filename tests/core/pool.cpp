// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/pool.hpp>

#include <stdint.h>

#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

namespace {

using Memory = rondo::test::CountingMemory<20>;

struct alignas(128) Wide {
    explicit Wide(int n) : number(n) {}
    int number;
};

struct Picky {
    explicit Picky(bool fail) {
        if (fail) throw 42;
    }
    int number = 1;
};

/// An object that keeps another of the same pool.
struct Nested {
    using Pool = rondo::Pool<Nested, Memory, 4>;

    Nested(Pool& pool, int depth)
        : pool_(pool), child(depth > 0 ? pool.create(pool, depth - 1) : nullptr) {}
    ~Nested() {
        if (child != nullptr) pool_.destroy(child);
    }

private:
    Pool& pool_;

public:
    Nested* const child;
};

}  // namespace

TEST_CASE("a pool's objects keep their addresses, each has its own", "[pool]") {
    {
        rondo::Pool<int, Memory, 4> pool;
        std::vector<int*> objects;
        for (int i = 0; i < 100; ++i) objects.push_back(pool.create(i));
        CHECK(Memory::held() == 25);
        for (int i = 0; i < 100; ++i) CHECK(*objects[static_cast<size_t>(i)] == i);
        for (int* const object : objects) pool.destroy(object);
    }
    CHECK(Memory::held() == 0);
    CHECK(Memory::mismatched() == 0);
}

TEST_CASE("a freed place is the next to be taken, without an allocation", "[pool]") {
    rondo::Pool<int, Memory, 4> pool;
    pool.create(1);
    int* const second = pool.create(2);
    pool.create(3);
    pool.destroy(second);
    const size_t before = Memory::allocations();
    CHECK(pool.create(4) == second);
    CHECK(Memory::allocations() == before);
}

TEST_CASE("an over-aligned type and one smaller than a pointer have their place", "[pool]") {
    rondo::Pool<Wide, Memory, 3> wide;
    rondo::Pool<char, Memory, 3> small;
    std::set<void*> places;
    for (int i = 0; i < 10; ++i) {
        Wide* const object = wide.create(i);
        CHECK(reinterpret_cast<uintptr_t>(object) % 128 == 0);
        CHECK(object->number == i);
        CHECK(places.insert(small.create('x')).second);
    }
}

TEST_CASE("a pool without memory answers nullptr and leaves the arguments alone", "[pool]") {
    rondo::Pool<std::unique_ptr<int>, Memory, 2> pool;
    auto number = std::make_unique<int>(7);
    Memory::fail_after(1);
    CHECK(pool.create(std::move(number)) == nullptr);
    Memory::never_fail();
    REQUIRE(number != nullptr);
    std::unique_ptr<int>* const object = pool.create(std::move(number));
    REQUIRE(object != nullptr);
    CHECK(**object == 7);
    pool.destroy(object);
}

TEST_CASE("a constructor that throws gives its place back", "[pool]") {
    rondo::Pool<Picky, Memory, 1> pool;
    CHECK_THROWS_AS(pool.create(true), int);
    const size_t before = Memory::allocations();
    CHECK_THROWS_AS(pool.create(true), int);
    CHECK(pool.create(false)->number == 1);
    CHECK(Memory::allocations() == before);
}

TEST_CASE("a constructor and a destructor may use the pool they live in", "[pool]") {
    Nested::Pool pool;
    Nested* const top = pool.create(pool, 9);
    std::set<Nested*> places;
    for (Nested* object = top; object != nullptr; object = object->child) places.insert(object);
    CHECK(places.size() == 10);
    pool.destroy(top);
    const size_t before = Memory::allocations();
    Nested* const again = pool.create(pool, 9);
    CHECK(Memory::allocations() == before);
    pool.destroy(again);
}
