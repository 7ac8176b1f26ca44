// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/buffer.hpp>

#include <random>
#include <span>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<68>;

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
}

#ifndef RONDO_NO_ASSERT
TEST_CASE("consuming more than there is asserts", "[buffer]") {
    Buffer<> buffer;
    const auto death = dies([&] { buffer.consume(1); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("more bytes were consumed than there are"));
}
#endif
