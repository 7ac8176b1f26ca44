// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/scratch.hpp>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

using namespace rondo::test;

namespace {

using Counting = CountingMemory<70>;
using Scratch = rondo::detail::Scratch<Counting>;

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

TEST_CASE("a lease that gets no memory is empty", "[scratch]") {
    Scratch scratch;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const Scratch::Lease lease(scratch);
        CHECK(lease.span().empty() == (Counting::refused() != before));
    });
    CHECK(failures == 1);
}
