// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/handler.hpp>

#include <stdint.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

namespace {

using Memory = rondo::test::CountingMemory<40>;
template <class Signature, size_t Capacity = 48>
using Handler = rondo::Handler<Signature, Capacity, Memory>;

/// Counts the copies of itself that are alive; `Bytes` makes it as large as wanted.
template <size_t Bytes, bool Nothrow = true>
struct Tracked {
    explicit Tracked(int& alive) : alive_(&alive) { ++*alive_; }
    Tracked(const Tracked& other) : Tracked(*other.alive_) {
        if (fail_copy) throw 42;
    }
    Tracked(Tracked&& other) noexcept(Nothrow) : Tracked(*other.alive_) {}
    ~Tracked() { --*alive_; }
    int operator()() const { return *alive_; }

    static inline bool fail_copy = false;

private:
    int* alive_;
    std::array<char, Bytes> ballast_{};
};

struct alignas(128) Wide {
    bool operator()() const { return reinterpret_cast<uintptr_t>(this) % 128 == 0; }
};

int twice(int n) { return 2 * n; }

}  // namespace

TEST_CASE("a handler is empty until it is given a callable", "[handler]") {
    Handler<int(int)> handler;
    CHECK_FALSE(handler);
    handler = twice;
    REQUIRE(handler);
    CHECK(handler(4) == 8);
    handler = [](int n) { return n + 1; };
    CHECK(handler(4) == 5);
    handler.reset();
    CHECK_FALSE(handler);
    handler.reset();
}

TEST_CASE("what can be seen to hold nothing makes an empty handler", "[handler]") {
    int (*const none)(int) = nullptr;
    CHECK_FALSE(Handler<int(int)>(none));
    CHECK(Handler<int(int)>(&twice));
    CHECK_FALSE(Handler<int(int)>(Handler<int(int), 16>()));
    CHECK_FALSE(Handler<int(int)>(rondo::Handler<int(int)>()));
    CHECK_FALSE(Handler<int(int)>(std::function<int(int)>()));
    CHECK(Handler<int(int)>([](int) { return 0; }));
    Handler<int(int)> wrapped{Handler<int(int), 16>(twice)};
    CHECK(wrapped(4) == 8);
}

#ifndef RONDO_NO_ASSERT
TEST_CASE("calling an empty handler stops the program", "[handler]") {
    const auto death = dies([] { Handler<void()>()(); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("an empty handler was called"));
}
#endif

TEST_CASE("a callable may take all arguments, or leave some out from the left", "[handler]") {
    std::string heard;
    const auto ask = [&](Handler<void(int, char)> handler) {
        heard.clear();
        handler(7, 'x');
        return heard;
    };
    CHECK(ask([&](int n, char c) { heard = std::to_string(n) + c; }) == "7x");
    CHECK(ask([&](char c) { heard = std::string("only ") + c; }) == "only x");
    CHECK(ask([&] { heard = "nothing"; }) == "nothing");
    CHECK(ask([&](auto... all) { heard = std::to_string(sizeof...(all)); }) == "2");
    STATIC_REQUIRE_FALSE(rondo::CallableWithTail<void (*)(std::string), int, char>);
    STATIC_REQUIRE_FALSE(rondo::CallableWithTail<void (*)(int, char, int), int, char>);
    STATIC_REQUIRE_FALSE(rondo::CallableWithTail<int std::string::*, std::string&>);
}

TEST_CASE("references and move-only values reach the callable without a copy", "[handler]") {
    std::string text = "a";
    Handler<std::string&(std::string&, std::unique_ptr<int>)> handler(
        [](std::string& in, std::unique_ptr<int> n) -> std::string& {
            return in += std::to_string(*n);
        });
    CHECK(&handler(text, std::make_unique<int>(5)) == &text);
    CHECK(text == "a5");
    Handler<int(std::unique_ptr<int>&&, const int&)> last([](const int& n) { return n; });
    CHECK(last(nullptr, 3) == 3);
}

TEST_CASE("a handler without a result takes a callable with one", "[handler]") {
    int calls = 0;
    Handler<void(int)> handler([&] { return ++calls; });
    handler(1);
    CHECK(calls == 1);
    Handler<int64_t()> widened([] { return 7; });
    CHECK(widened() == 7);
}

TEST_CASE("a callable keeps its state from call to call", "[handler]") {
    Handler<int()> handler([n = 0]() mutable { return ++n; });
    CHECK(handler() == 1);
    Handler<int()> moved(std::move(handler));
    CHECK(moved() == 2);
    CHECK_FALSE(handler);
}

TEMPLATE_TEST_CASE("a callable is destroyed exactly once, wherever it is stored", "[handler]",
                   (Tracked<1>), (Tracked<40>), (Tracked<41>), (Tracked<1'000>),
                   (Tracked<1, false>)) {
    const bool in_place = sizeof(TestType) <= 48 && std::is_nothrow_move_constructible_v<TestType>;
    int alive = 0;
    const size_t before = Memory::allocations();
    {
        Handler<int()> first{TestType(alive)};
        CHECK(alive == 1);
        CHECK(first() == 1);
        Handler<int()> second(std::move(first));
        CHECK_FALSE(first);
        CHECK(alive == 1);
        first = std::move(second);
        CHECK(alive == 1);
        Handler<int()>& same = first;
        first = std::move(same);
        CHECK(first() == 1);
        second = TestType(alive);
        CHECK(alive == 2);
        second = std::move(first);
        CHECK(alive == 1);
        second.reset();
        CHECK(alive == 0);
        first = TestType(alive);
    }
    CHECK(alive == 0);
    CHECK((Memory::allocations() == before) == in_place);
    CHECK(Memory::held() == 0);
    CHECK(Memory::mismatched() == 0);
}

TEMPLATE_TEST_CASE("a copy that throws leaves nothing behind", "[handler]", (Tracked<1>),
                   (Tracked<1'000>)) {
    int alive = 0;
    {
        const TestType original(alive);
        Handler<int()> handler(original);
        TestType::fail_copy = true;
        CHECK_THROWS_AS(Handler<int()>(original), int);
        CHECK_THROWS_AS(handler = original, int);
        TestType::fail_copy = false;
        CHECK(alive == 2);
        CHECK(handler() == 2);
    }
    CHECK(alive == 0);
    CHECK(Memory::held() == 0);
}

TEST_CASE("a handler whose allocation failed is empty, and the callable unharmed", "[handler]") {
    auto number = std::make_unique<int>(7);
    std::array<char, 100> ballast{};
    auto callable = [n = std::move(number), ballast] { return *n + ballast[0]; };
    Memory::fail_after(1);
    Handler<int()> handler(std::move(callable));
    Memory::never_fail();
    CHECK_FALSE(handler);
    handler = std::move(callable);
    CHECK(handler() == 7);
}

TEST_CASE("an over-aligned callable is aligned, and stays where it is", "[handler]") {
    Handler<bool()> first{Wide()};
    CHECK(first());
    Handler<bool()> second(std::move(first));
    CHECK(second());
    CHECK(Memory::held() == 1);
}

TEST_CASE("a trivially copyable callable moves with all of its bytes", "[handler]") {
    std::array<unsigned char, 48> bytes{};
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i);
    Handler<bool()> first([bytes] {
        for (size_t i = 0; i < bytes.size(); ++i) {
            if (bytes[i] != i) return false;
        }
        return true;
    });
    Handler<bool()> second(std::move(first));
    CHECK(second());
    CHECK(Memory::held() == 0);
}

TEST_CASE("a handler may take over one that its own callable owns", "[handler]") {
    struct Node {
        Handler<int()> next;
    };
    auto node = std::make_unique<Node>();
    node->next = [] { return 2; };
    Node* const inner = node.get();
    Handler<int()> handler([owned = std::move(node)] { return owned->next ? 1 : 0; });
    CHECK(handler() == 1);
    handler = std::move(inner->next);
    CHECK(handler() == 2);
}

TEST_CASE("a callable's destructor finds the handler empty and may fill it", "[handler]") {
    struct Farewell {
        Farewell(Handler<int()>& h) : handler(&h) {}
        Farewell(Farewell&& other) noexcept : handler(std::exchange(other.handler, nullptr)) {}
        ~Farewell() {
            if (handler == nullptr) return;
            was_empty = !*handler;
            *handler = [] { return 5; };
        }
        int operator()() const { return 1; }
        Handler<int()>* handler;
        bool was_empty = false;
    };
    Handler<int()> handler;
    handler = Farewell(handler);
    CHECK(handler() == 1);
    handler.reset();
    REQUIRE(handler);
    CHECK(handler() == 5);
}

TEST_CASE("an exception passes through a handler, which stays callable", "[handler]") {
    Handler<int()> handler([calls = 0]() mutable {
        if (++calls == 1) throw 42;
        return calls;
    });
    CHECK_THROWS_AS(handler(), int);
    CHECK(handler() == 2);
}

TEST_CASE("a handler is one cache line and doesn't throw for what fits it", "[handler]") {
    const auto small = [] {};
    STATIC_REQUIRE((sizeof(void*) != 8 || sizeof(rondo::Handler<void()>) == 64));
    STATIC_REQUIRE(std::is_nothrow_constructible_v<Handler<void()>, decltype(small)>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<Handler<void()>>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Handler<void()>>);
    rondo::Handler<void(), 16, rondo::InPlaceOnly> in_place(small);
    CHECK(in_place);
}
