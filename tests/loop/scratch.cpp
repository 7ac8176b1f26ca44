// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/scratch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

using namespace rondo::test;

namespace {

using Counting = CountingMemory<70>;
using Scratch = rondo::detail::Scratch<Counting>;

static_assert(!std::is_copy_constructible_v<Scratch>);
static_assert(!std::is_copy_constructible_v<Scratch::Lease>);

bool holds_only(const Scratch::Lease& lease, std::byte value) {
    const auto bytes = lease.span();
    return std::count(bytes.begin(), bytes.end(), value) == static_cast<long>(Scratch::bytes);
}

}  // namespace

TEST_CASE("a buffer is lent to one at a time, and lent again", "[scratch]") {
    {
        Scratch scratch;
        CHECK(Counting::held() == 0);
        const void* first = nullptr;
        {
            const Scratch::Lease outer(scratch);
            const Scratch::Lease inner(scratch);
            CHECK(outer.span().size() == Scratch::bytes);
            CHECK(inner.span().size() == Scratch::bytes);
            CHECK(outer.span().data() != inner.span().data());
            first = outer.span().data();
        }
        const Scratch::Lease again(scratch);
        CHECK(again.span().data() == first);
        CHECK(Counting::held() == 2);
    }
    CHECK(Counting::held() == 0);
}

TEST_CASE("a buffer begins a page, where the kernel copies fastest", "[scratch]") {
    Scratch scratch;
    const Scratch::Lease lease(scratch);
    CHECK(reinterpret_cast<uintptr_t>(lease.span().data()) % 4096 == 0);
}

TEST_CASE("a lease that is moved is given back once, by its last holder", "[scratch]") {
    {
        Scratch scratch;
        Scratch::Lease kept;
        CHECK(kept.span().empty());
        const void* first = nullptr;
        {
            Scratch::Lease lease(scratch);
            first = lease.span().data();
            Scratch::Lease moved(std::move(lease));
            kept = std::move(moved);
        }
        CHECK(kept.span().data() == first);
        const Scratch::Lease other(scratch);
        CHECK(other.span().data() != first);
        kept = {};
        CHECK(kept.span().empty());
        const Scratch::Lease again(scratch);
        CHECK(again.span().data() == first);
        CHECK(Counting::held() == 2);
    }
    CHECK(Counting::held() == 0);
}

TEST_CASE("a lease that gets no memory is empty", "[scratch]") {
    Scratch scratch;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const Scratch::Lease lease(scratch);
        CHECK(lease.span().empty() == (Counting::refused() != before));
    });
    CHECK(failures == 1);
}

TEST_CASE("what an outer lease reads stays as it is while an inner one is used", "[scratch]") {
    Scratch scratch;
    const Scratch::Lease outer(scratch);
    std::ranges::fill(outer.span(), std::byte{1});
    for (int i = 0; i < 3; ++i) {
        const Scratch::Lease inner(scratch);
        std::ranges::fill(inner.span(), std::byte{2});
        const Scratch::Lease innermost(scratch);
        std::ranges::fill(innermost.span(), std::byte{3});
        CHECK(holds_only(inner, std::byte{2}));
    }
    CHECK(holds_only(outer, std::byte{1}));
}

TEST_CASE("there is one buffer for each level of nesting, however often it is lent", "[scratch]") {
    Scratch scratch;
    const size_t calls = Counting::allocations();
    for (int i = 0; i < 100; ++i) {
        const Scratch::Lease outer(scratch);
        for (int j = 0; j < 3; ++j) {
            const Scratch::Lease inner(scratch);
            std::ranges::fill(inner.span(), std::byte{0xff});
        }
    }
    CHECK(Counting::allocations() == calls + 2);
    CHECK(Counting::bytes() == 2 * Scratch::bytes);
}

TEST_CASE("leases may end in any order", "[scratch]") {
    {
        Scratch scratch;
        std::optional<Scratch::Lease> first(std::in_place, scratch);
        std::optional<Scratch::Lease> second(std::in_place, scratch);
        std::optional<Scratch::Lease> third(std::in_place, scratch);
        const void* const data = first->span().data();
        first.reset();
        first.emplace(scratch);
        CHECK(first->span().data() == data);
        second.reset();
        third.reset();
        first.reset();
        CHECK(Counting::held() == 3);
    }
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("a lease without memory disturbs no other, and a kept buffer needs none", "[scratch]") {
    Scratch scratch;
    Counting::fail_from(1);
    {
        CHECK(Scratch::Lease(scratch).span().empty());
    }
    Counting::never_fail();
    {
        const Scratch::Lease outer(scratch);
        std::ranges::fill(outer.span(), std::byte{1});
        Counting::fail_from(1);
        {
            CHECK(Scratch::Lease(scratch).span().empty());
        }
        CHECK(holds_only(outer, std::byte{1}));
    }
    CHECK(Scratch::Lease(scratch).span().size() == Scratch::bytes);
    Counting::never_fail();
    CHECK(Counting::held() == 1);
}
