// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/array.hpp>

#include <stdint.h>

#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

namespace {

using Memory = rondo::test::CountingMemory<10>;
using Ints = rondo::Array<int, Memory>;

struct alignas(128) Wide {
    int value = 5;
};

}  // namespace

TEST_CASE("an array grows and keeps what it holds", "[array]") {
    {
        Ints ints;
        CHECK(ints.empty());
        for (int i = 0; i < 1'000; ++i) REQUIRE(ints.push_back(i));
        CHECK(ints.size() == 1'000);
        int next = 0;
        for (const int value : ints) CHECK(value == next++);
        ints.truncate(10);
        ints.truncate(20);
        CHECK(ints.size() == 10);
        ints.clear();
        CHECK(ints.empty());
        CHECK(ints.capacity() >= 1'000);
    }
    CHECK(Memory::held() == 0);
    CHECK(Memory::mismatched() == 0);
}

TEST_CASE("an element of the array itself can be pushed while it grows", "[array]") {
    Ints ints;
    REQUIRE(ints.push_back(7));
    while (ints.size() < ints.capacity()) REQUIRE(ints.push_back(1));
    REQUIRE(ints.push_back(ints[0]));
    CHECK(ints[ints.size() - 1] == 7);
}

TEST_CASE("resizing gives new elements their initial value, also in used places", "[array]") {
    Ints ints;
    REQUIRE(ints.resize(4));
    for (const int value : ints) CHECK(value == 0);
    ints[3] = 9;
    REQUIRE(ints.resize(2));
    REQUIRE(ints.resize(4));
    CHECK(ints[3] == 0);
}

TEST_CASE("an array whose growth fails is as before", "[array]") {
    Ints ints;
    const auto fill = [&](int) {
        while (ints.size() < 100) {
            const size_t size = ints.size();
            const size_t capacity = ints.capacity();
            if (ints.push_back(static_cast<int>(size))) continue;
            CHECK(ints.size() == size);
            CHECK(ints.capacity() == capacity);
            break;
        }
        for (size_t i = 0; i < ints.size(); ++i) CHECK(ints[i] == static_cast<int>(i));
    };
    CHECK(rondo::test::with_each_allocation_failing<Memory>(fill) > 0);
    CHECK(ints.size() == 100);
    Memory::fail_after(1);
    CHECK_FALSE(ints.resize(10'000));
    Memory::never_fail();
    CHECK(ints.size() == 100);
    CHECK(ints[99] == 99);
}

TEST_CASE("an array refuses a length whose bytes can't be counted", "[array]") {
    rondo::Array<uint64_t, Memory> numbers;
    REQUIRE(numbers.push_back(1));
    CHECK_FALSE(numbers.reserve(SIZE_MAX / 8 + 2));
    CHECK_FALSE(numbers.resize(SIZE_MAX));
    CHECK(numbers.size() == 1);
    CHECK(numbers[0] == 1);
}

TEST_CASE("moving an array hands over its memory", "[array]") {
    {
        Ints first;
        REQUIRE(first.push_back(1));
        Ints second(std::move(first));
        CHECK(first.empty());
        CHECK(first.capacity() == 0);
        CHECK(second[0] == 1);
        first = std::move(second);
        CHECK(first[0] == 1);
        REQUIRE(second.push_back(2));
        Ints& same = first;
        first = std::move(same);
        CHECK(first.size() == 1);
    }
    CHECK(Memory::held() == 0);
}

TEST_CASE("elements that want a larger alignment get it", "[array]") {
    rondo::Array<Wide, Memory> array;
    REQUIRE(array.resize(20));
    for (Wide& wide : array) {
        CHECK(reinterpret_cast<uintptr_t>(&wide) % 128 == 0);
        CHECK(wide.value == 5);
    }
}
