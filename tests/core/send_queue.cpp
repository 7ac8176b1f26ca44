// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/send_queue.hpp>

#include <stdint.h>

#include <array>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<69>;
using Chunks = SendPool<Counting>;
using Queue = SendQueue<Counting>;

static_assert(OwnsBytes<std::string> && OwnsBytes<std::vector<int>>);
static_assert(!OwnsBytes<std::string&> && !OwnsBytes<const std::string>);
static_assert(!OwnsBytes<std::string_view> && !OwnsBytes<std::span<const char>>);
static_assert(!OwnsBytes<std::vector<std::string>> && !OwnsBytes<std::array<char, 4>>);
static_assert(!OwnsBytes<std::vector<int>&> && !OwnsBytes<const std::vector<int>&>);
static_assert(!OwnsBytes<std::vector<bool>> && !OwnsBytes<std::unique_ptr<char[]>>);
static_assert(!std::is_copy_constructible_v<Queue> && !std::is_copy_constructible_v<Chunks>);

/// Owns bytes, counts how many of its kind own some, and offers no more than it has to.
struct Parcel {
    explicit Parcel(std::string bytes) : text(std::make_unique<std::string>(std::move(bytes))) {
        ++alive;
    }
    Parcel(Parcel&&) noexcept = default;
    Parcel& operator=(Parcel&&) = delete;
    ~Parcel() {
        if (text) --alive;
    }
    const char* data() const noexcept { return text->data(); }
    int size() const noexcept { return text ? static_cast<int>(text->size()) : 0; }

    static inline int alive = 0;
    std::unique_ptr<std::string> text;
};
static_assert(OwnsBytes<Parcel>);

struct MoveMayThrow : std::string {
    MoveMayThrow(MoveMayThrow&& other) noexcept(false) : std::string(std::move(other)) {}
};
struct NumberAsData : std::string {
    long data() const noexcept { return 0; }
};
static_assert(!OwnsBytes<MoveMayThrow> && !OwnsBytes<NumberAsData>);

struct alignas(128) Wide : std::string {
    using std::string::string;
};

constexpr size_t chunk_room = Chunks::chunk_bytes - sizeof(rondo::detail::SendPiece);

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}
std::string text_of(const Queue& queue, size_t parts_max = 64) {
    std::vector<ConstBuffer> parts(parts_max);
    parts.resize(queue.gather(parts));
    std::string text;
    for (const ConstBuffer& part : parts) {
        text.append(static_cast<const char*>(part.data), part.size);
    }
    return text;
}
size_t pieces(const Queue& queue) {
    std::array<ConstBuffer, 64> parts;
    return queue.gather(parts);
}

// Clears its queue at its end, as a connection does.
struct Owned {
    Chunks pool;
    Queue queue;
    ~Owned() { queue.clear(pool); }
};

}  // namespace

TEST_CASE("what is queued leaves in order, however it was queued and is consumed", "[send_queue]") {
    {
        Owned owned;
        std::string model;
        std::mt19937 random(2);
        for (int i = 0; i < 3000; ++i) {
            std::string more(random() % 6000, static_cast<char>('a' + i % 26));
            model += more;
            if (i % 3 == 0) {
                REQUIRE(owned.queue.append_owned(std::move(more)));
            } else {
                REQUIRE(owned.queue.append(owned.pool, bytes_of(more)));
            }
            const size_t used = random() % (model.size() + 1);
            owned.queue.consume(owned.pool, used);
            model.erase(0, used);
            REQUIRE(owned.queue.size() == model.size());
            REQUIRE((model.starts_with(text_of(owned.queue, 1 + random() % 5))));
            REQUIRE((text_of(owned.queue) == model || model.size() > 64 * 6000));
        }
    }
    CHECK(Counting::held() == 0);
}

TEST_CASE("a queue agrees with a string through a long random history", "[send_queue]") {
    {
        Owned owned;
        std::string model;
        std::mt19937 random(7);
        int refusals = 0;
        for (int i = 0; i < 5000; ++i) {
            const size_t length = random() % (random() % 8 == 0 ? 9000 : 300);
            std::string more(length, static_cast<char>('a' + i % 26));
            if (random() % 4 == 0) Counting::fail_after(1);
            bool queued = false;
            const auto kind = random() % 4;
            if (kind == 0) {
                std::vector<int> numbers(length / 4, i);
                more.assign(reinterpret_cast<const char*>(numbers.data()), length / 4 * 4);
                queued = owned.queue.append_owned(std::move(numbers));
            } else if (kind == 1) {
                queued = owned.queue.append_owned(std::string(more));
            } else {
                queued = owned.queue.append(owned.pool, bytes_of(more));
            }
            Counting::never_fail();
            if (queued) model += more;
            if (!queued) ++refusals;
            const size_t used = random() % 3 == 0 ? 0 : random() % 1200;
            if (random() % 200 == 0) {
                owned.queue.clear(owned.pool);
                model.clear();
            } else if (used <= model.size()) {
                owned.queue.consume(owned.pool, used);
                model.erase(0, used);
            }
            REQUIRE(owned.queue.size() == model.size());
            REQUIRE(owned.queue.empty() == model.empty());
            REQUIRE((text_of(owned.queue, 10'000) == model));
            const size_t few = random() % 4;
            const std::string front = text_of(owned.queue, few);
            REQUIRE((model.starts_with(front)));
            REQUIRE(front.empty() == (few == 0 || model.empty()));
        }
        CHECK(refusals > 10);
    }
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("a chunk is filled to its end before another is taken", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(chunk_room - 2, 'x'))));
    REQUIRE(owned.queue.append(owned.pool, bytes_of("0123456789")));
    std::array<ConstBuffer, 3> parts;
    REQUIRE(owned.queue.gather(parts) == 2);
    CHECK(parts[0].size == chunk_room);
    CHECK(parts[1].size == 8);
    CHECK(owned.queue.gather(std::span(parts).first(1)) == 1);
    CHECK(owned.queue.gather({}) == 0);
    // The room behind the bytes of a chunk stays, however many left from its front.
    owned.queue.consume(owned.pool, chunk_room + 3);
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(chunk_room - 8, 'y'))));
    CHECK(pieces(owned.queue) == 1);
    CHECK((text_of(owned.queue) == "56789" + std::string(chunk_room - 8, 'y')));
}

TEST_CASE("nothing is copied behind a moved-in owner's bytes", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of("one ")));
    REQUIRE(owned.queue.append_owned(std::string("two ")));
    REQUIRE(owned.queue.append(owned.pool, bytes_of("three ")));
    REQUIRE(owned.queue.append(owned.pool, bytes_of("four")));
    CHECK(pieces(owned.queue) == 3);
    CHECK(text_of(owned.queue) == "one two three four");
}

TEST_CASE("no bytes are no piece", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, {}));
    std::vector<int> numbers;
    numbers.reserve(10);
    REQUIRE(owned.queue.append_owned(std::move(numbers)));
    CHECK(owned.queue.empty());
    CHECK(pieces(owned.queue) == 0);
    CHECK(Counting::held() == 0);
    owned.queue.clear(owned.pool);
    owned.queue.consume(owned.pool, 0);
}

TEST_CASE("queues that share a pool use each other's chunks", "[send_queue]") {
    Owned owned;
    Queue other;
    REQUIRE(owned.queue.append(owned.pool, bytes_of("abc")));
    owned.queue.clear(owned.pool);
    const size_t calls = Counting::allocations();
    REQUIRE(other.append(owned.pool, bytes_of("abc")));
    CHECK(Counting::allocations() == calls);
    other.clear(owned.pool);
}

TEST_CASE("small replies gather in one piece", "[send_queue]") {
    Owned owned;
    for (int i = 0; i < 500; ++i) REQUIRE(owned.queue.append(owned.pool, bytes_of("+OK\r\n")));
    CHECK(pieces(owned.queue) == 1);
    for (int i = 0; i < 500; ++i) REQUIRE(owned.queue.append(owned.pool, bytes_of("+OK\r\n")));
    CHECK(pieces(owned.queue) == 2);
}

TEST_CASE("an empty queue holds no piece, and after warm-up nothing is allocated", "[send_queue]") {
    Owned owned;
    const auto fill_and_empty = [&] {
        for (int i = 0; i < 100; ++i) {
            REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(100, 'x'))));
        }
        owned.queue.consume(owned.pool, owned.queue.size());
    };
    fill_and_empty();
    const size_t held = Counting::held();
    const size_t calls = Counting::allocations();
    for (int i = 0; i < 10; ++i) fill_and_empty();
    CHECK(Counting::allocations() == calls);
    CHECK(Counting::held() == held);
}

TEST_CASE("the pool keeps so many chunks and no large one", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(1'000'000, 'x'))));
    owned.queue.clear(owned.pool);
    CHECK(Counting::held() == 0);
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(1000, 'x'))));
    }
    owned.queue.clear(owned.pool);
    CHECK(Counting::held() == Chunks::kept_max);
}

TEST_CASE("what just fits into a chunk is kept, and one byte more isn't", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(chunk_room + 1, 'x'))));
    CHECK(pieces(owned.queue) == 1);
    owned.queue.clear(owned.pool);
    CHECK(Counting::held() == 0);
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(chunk_room, 'x'))));
    CHECK(pieces(owned.queue) == 1);
    CHECK(Counting::bytes() == Chunks::chunk_bytes);
    owned.queue.clear(owned.pool);
    CHECK(Counting::held() == 1);
    // A kept chunk is too small for what is large.
    REQUIRE(owned.queue.append(owned.pool, bytes_of(std::string(chunk_room + 1, 'y'))));
    CHECK(Counting::held() == 2);
    CHECK((text_of(owned.queue) == std::string(chunk_room + 1, 'y')));
}

TEST_CASE("more than memory can hold is refused, and nothing is queued", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of("abc")));
    const std::byte byte{};
    Counting::fail_from(1);
    const size_t refused = Counting::refused();
    CHECK_FALSE(owned.queue.append(owned.pool, {&byte, SIZE_MAX}));
    CHECK(Counting::refused() == refused);
    Counting::never_fail();
    CHECK(text_of(owned.queue) == "abc");
}

TEST_CASE("each moved-in owner is destroyed once, when its last byte has left", "[send_queue]") {
    {
        Owned owned;
        for (const char* const text : {"one", "two", "three", "four"}) {
            REQUIRE(owned.queue.append_owned(Parcel(text)));
        }
        CHECK(Parcel::alive == 4);
        owned.queue.consume(owned.pool, 5);
        CHECK(Parcel::alive == 3);
        owned.queue.consume(owned.pool, 1);
        CHECK(Parcel::alive == 2);
        CHECK(text_of(owned.queue) == "threefour");
        owned.queue.clear(owned.pool);
        CHECK(Parcel::alive == 0);
        REQUIRE(owned.queue.append_owned(Parcel("five")));
    }
    CHECK(Parcel::alive == 0);
    CHECK(Counting::held() == 0);
}

TEST_CASE("an owner that can't be queued is as before, and can be queued later", "[send_queue]") {
    Owned owned;
    Parcel parcel("parcel");
    const void* const data = parcel.data();
    Counting::fail_after(1);
    CHECK_FALSE(owned.queue.append_owned(std::move(parcel)));
    Counting::never_fail();
    CHECK(owned.queue.empty());
    CHECK(parcel.data() == data);
    CHECK(*parcel.text == "parcel");
    CHECK(Parcel::alive == 1);
    CHECK(owned.queue.append_owned(std::move(parcel)));
    CHECK(text_of(owned.queue) == "parcel");
    CHECK(Parcel::alive == 1);
}

TEST_CASE("an owner may be over-aligned, and may hold its bytes itself", "[send_queue]") {
    {
        Owned owned;
        REQUIRE(owned.queue.append_owned(Wide("short")));
        CHECK(text_of(owned.queue) == "short");
    }
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("a moved-in owner isn't copied, and ends when its bytes have left", "[send_queue]") {
    Owned owned;
    std::vector<int> numbers(1000, 7);
    const void* const data = numbers.data();
    REQUIRE(owned.queue.append_owned(std::move(numbers)));
    std::array<ConstBuffer, 1> part;
    CHECK(owned.queue.gather(part) == 1);
    CHECK(part[0].data == data);
    CHECK(part[0].size == 1000 * sizeof(int));
    owned.queue.consume(owned.pool, 1000 * sizeof(int) - 1);
    CHECK(Counting::held() == 1);
    owned.queue.consume(owned.pool, 1);
    CHECK(Counting::held() == 0);
    REQUIRE(owned.queue.append_owned(std::string()));
    CHECK(Counting::held() == 0);
}

TEST_CASE("each allocation that fails leaves the queue and the owner as before", "[send_queue]") {
    Owned owned;
    REQUIRE(owned.queue.append(owned.pool, bytes_of("begin")));
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const std::string before = text_of(owned.queue);
        const std::string large(5000, 'x');
        const bool copied = owned.queue.append(owned.pool, bytes_of(large));
        CHECK((text_of(owned.queue) == (copied ? before + large : before)));
        std::string mine(700, 'y');
        const bool moved = owned.queue.append_owned(std::move(mine));
        CHECK(mine.size() == (moved ? 0 : 700));
    });
    CHECK(failures >= 2);
}

#ifndef RONDO_NO_ASSERT
TEST_CASE("consuming more than is queued, or ending with something queued, asserts",
          "[send_queue]") {
    Owned owned;
    CHECK_THAT(dies([&] { owned.queue.consume(owned.pool, 1); }).message,
               ContainsSubstring("more bytes were consumed than there are"));
    CHECK_THAT(dies([&] {
                   Queue queue;
                   static_cast<void>(queue.append(owned.pool, bytes_of("x")));
               }).message,
               ContainsSubstring("clear a SendQueue before its end"));
}
#endif
