// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/buffer.hpp>

#include <stdint.h>

#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<68>;

static_assert(!std::is_copy_constructible_v<Buffer<>> && !std::is_copy_assignable_v<Buffer<>>);
static_assert(std::is_nothrow_move_constructible_v<Buffer<>> &&
              std::is_nothrow_move_assignable_v<Buffer<>>);

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}
template <class M>
std::string text_of(const Buffer<M>& buffer) {
    return {reinterpret_cast<const char*>(buffer.data().data()), buffer.size()};
}

}  // namespace

TEST_CASE("bytes come out in the order in which they went in", "[buffer]") {
    Buffer<> buffer;
    std::string model;
    std::mt19937 random(1);
    for (int i = 0; i < 5000; ++i) {
        const std::string more(random() % 100, static_cast<char>('a' + i % 26));
        REQUIRE(buffer.append(bytes_of(more)));
        model += more;
        const size_t used = random() % (model.size() + 1);
        buffer.consume(used);
        model.erase(0, used);
        REQUIRE((text_of(buffer) == model));
    }
}

TEST_CASE("a buffer agrees with a string through a long random history", "[buffer]") {
    {
        Buffer<Counting> buffer;
        std::string model;
        std::mt19937 random(7);
        int refusals = 0;
        for (int i = 0; i < 20'000; ++i) {
            const std::string more(random() % (i % 500 == 0 ? 20'000 : 200),
                                   static_cast<char>('a' + i % 26));
            if (random() % 4 == 0) Counting::fail_after(1);
            const bool appended = buffer.append(bytes_of(more));
            Counting::never_fail();
            if (appended) model += more;
            if (!appended) ++refusals;
            const size_t used = random() % 4 == 0 ? 0 : random() % 150;
            if (random() % 1000 == 0) {
                buffer.clear();
                model.clear();
            } else if (used <= model.size()) {
                buffer.consume(used);
                model.erase(0, used);
            }
            REQUIRE(buffer.size() == model.size());
            REQUIRE(buffer.empty() == model.empty());
            REQUIRE((text_of(buffer) == model));
            REQUIRE(Counting::held() == (model.empty() ? 0 : 1));
        }
        CHECK(refusals > 10);
    }
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("an empty buffer holds no memory", "[buffer]") {
    Buffer<Counting> buffer;
    CHECK(Counting::held() == 0);
    CHECK(buffer.append({}));
    CHECK(Counting::held() == 0);
    CHECK(buffer.append(bytes_of("abc")));
    CHECK(Counting::held() == 1);
    buffer.consume(3);
    CHECK(buffer.empty());
    CHECK(Counting::held() == 0);
    CHECK(buffer.append(bytes_of("abc")));
    buffer.clear();
    CHECK(Counting::held() == 0);
}

TEST_CASE("what is consumed makes room for what comes next", "[buffer]") {
    Buffer<Counting> buffer;
    REQUIRE(buffer.append(bytes_of(std::string(60, 'x'))));
    const size_t calls = Counting::allocations();
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(buffer.append(bytes_of("abc")));
        buffer.consume(3);
    }
    CHECK(Counting::allocations() <= calls + 1);
}

TEST_CASE("a buffer grows by doubling", "[buffer]") {
    Buffer<Counting> buffer;
    const size_t calls = Counting::allocations();
    for (int i = 0; i < 100'000; ++i) REQUIRE(buffer.append(bytes_of("x")));
    CHECK(Counting::allocations() - calls == 12);  // 64 bytes, 128, ... 131072
    CHECK(Counting::bytes() == 131'072);
}

TEST_CASE("no memory is asked for while there is room in front", "[buffer]") {
    Buffer<Counting> buffer;
    REQUIRE(buffer.append(bytes_of(std::string(54, 'x') + "0123456789")));
    buffer.consume(54);
    Counting::fail_from(1);
    const bool appended = buffer.append(bytes_of(std::string(54, 'y')));
    const bool too_much = buffer.append(bytes_of("z"));
    Counting::never_fail();
    CHECK(appended);
    CHECK_FALSE(too_much);
    CHECK(text_of(buffer) == "0123456789" + std::string(54, 'y'));
}

TEST_CASE("a buffer never shrinks while it holds bytes", "[buffer]") {
    Buffer<Counting> buffer;
    REQUIRE(buffer.append(bytes_of(std::string(5000, 'x'))));
    const size_t bytes = Counting::bytes();
    buffer.consume(4999);
    CHECK(buffer.append(bytes_of("abc")));
    CHECK(Counting::bytes() == bytes);
    CHECK(text_of(buffer) == "xabc");
}

TEST_CASE("more than memory can hold is refused without asking for it", "[buffer]") {
    Buffer<Counting> buffer;
    const std::byte byte{};
    Counting::fail_from(1);
    const size_t refused = Counting::refused();
    CHECK_FALSE(buffer.append({&byte, SIZE_MAX / 2 + 1}));
    CHECK_FALSE(buffer.append({&byte, SIZE_MAX}));
    Counting::never_fail();
    REQUIRE(buffer.append(bytes_of("ab")));
    Counting::fail_from(1);
    CHECK_FALSE(buffer.append({&byte, SIZE_MAX / 2 - 1}));
    Counting::never_fail();
    CHECK(Counting::refused() == refused);
    CHECK(text_of(buffer) == "ab");
}

TEST_CASE("a buffer that gets no memory is as before", "[buffer]") {
    Buffer<Counting> buffer;
    const std::string large(1000, 'x');
    std::string model;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        buffer.clear();
        model.clear();
        for (const std::string& more : {std::string("abc"), large}) {
            if (buffer.append(bytes_of(more))) model += more;
            CHECK((text_of(buffer) == model));
        }
    });
    CHECK(failures == 2);
    CHECK((model == "abc" + large));
}

TEST_CASE("a buffer can be moved, and leaves an empty one", "[buffer]") {
    Buffer<Counting> first;
    REQUIRE(first.append(bytes_of("abcdef")));
    first.consume(1);
    Buffer<Counting> second(std::move(first));
    CHECK(first.empty());
    CHECK(text_of(second) == "bcdef");
    Buffer<Counting> third;
    REQUIRE(third.append(bytes_of("xyz")));
    third = std::move(second);
    CHECK(second.empty());
    CHECK(text_of(third) == "bcdef");
    CHECK(Counting::held() == 1);
    Buffer<Counting>& itself = third;
    third = std::move(itself);
    CHECK(text_of(third) == "bcdef");
    REQUIRE(first.append(bytes_of("again")));
    CHECK(text_of(first) == "again");
    CHECK(Counting::held() == 2);
    third = Buffer<Counting>();
    CHECK(third.empty());
    CHECK(Counting::held() == 1);
}

#ifndef RONDO_NO_ASSERT
TEST_CASE("consuming more than there is asserts", "[buffer]") {
    Buffer<> buffer;
    const auto death = dies([&] { buffer.consume(1); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("more bytes were consumed than there are"));
}
#endif
