// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/send_queue.hpp>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<69>;
using Pool = SendPool<Counting>;
using Queue = SendQueue<Counting>;

static_assert(OwnsBytes<std::string> && OwnsBytes<std::vector<int>>);
static_assert(!OwnsBytes<std::string&> && !OwnsBytes<const std::string>);
static_assert(!OwnsBytes<std::string_view> && !OwnsBytes<std::span<const char>>);
static_assert(!OwnsBytes<std::vector<std::string>> && !OwnsBytes<std::array<char, 4>>);

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
    Pool pool;
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
    CHECK(Counting::held() == Pool::kept_max);
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
