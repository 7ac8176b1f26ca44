// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/memory.hpp>

#include <stdint.h>
#include <string.h>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

using rondo::Malloc;

TEST_CASE("the heap gives memory of every size with the alignment that was asked for", "[memory]") {
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (const size_t size : {size_t{1}, size_t{24}, size_t{64}, size_t{1000}}) {
            void* const address = Malloc::allocate(size, alignment);
            REQUIRE(address != nullptr);
            CHECK(reinterpret_cast<uintptr_t>(address) % alignment == 0);
            memset(address, 1, size);
            Malloc::release(address, size, alignment);
        }
    }
}

TEST_CASE("an absurd size is refused, not wrapped to a small one", "[memory]") {
    // volatile: the compiler would warn of a size that it can see.
    const volatile size_t absurd = SIZE_MAX - 8;
    CHECK(Malloc::allocate(absurd, 64) == nullptr);
    CHECK(Malloc::allocate(absurd, 4096) == nullptr);
}

TEST_CASE("a policy is a type with two functions that don't throw", "[memory]") {
    struct Throws {
        static void* allocate(size_t, size_t) { return nullptr; }
        static void release(void*, size_t, size_t) noexcept {}
    };
    STATIC_REQUIRE(rondo::Memory<Malloc>);
    STATIC_REQUIRE(rondo::Memory<rondo::test::CountingMemory<1>>);
    STATIC_REQUIRE_FALSE(rondo::Memory<Throws>);
    STATIC_REQUIRE_FALSE(rondo::Memory<int>);
}
