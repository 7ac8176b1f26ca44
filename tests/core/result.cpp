// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/result.hpp>

#include <errno.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/death.hpp"

using rondo::Error;
using rondo::Result;

namespace {

const Error refused(ECONNREFUSED, "connect", "127.0.0.1:80");

/// Counts the objects that are alive.
struct Alive {
    explicit Alive(int& count) : count_(&count) { ++*count_; }
    Alive(Alive&& other) noexcept : count_(other.count_) { ++*count_; }
    Alive& operator=(Alive&&) = delete;
    ~Alive() { --*count_; }

private:
    int* count_;
};

struct ThrowsWhenMoved {
    explicit ThrowsWhenMoved(int& alive) : alive_(alive) { ++alive_; }
    ThrowsWhenMoved(ThrowsWhenMoved&& other) : alive_(other.alive_) {
        if (fail) throw 42;
        ++alive_;
    }
    ~ThrowsWhenMoved() { --alive_; }

    static inline bool fail = false;

private:
    int& alive_;
};

struct alignas(128) Wide {
    char byte = 0;
};

Result<int> even(int n) {
    if (n % 2 != 0) return Error(EINVAL, "even");
    return n;
}

}  // namespace

TEST_CASE("a result holds a value or an error", "[result]") {
    const auto good = even(4);
    CHECK(good);
    CHECK(*good == 4);
    CHECK(good.value() == 4);
    CHECK_FALSE(good.error());
    const auto bad = even(5);
    CHECK_FALSE(bad);
    CHECK(bad.error() == EINVAL);
}

TEST_CASE("a result hands out its value by reference, or moves it out", "[result]") {
    Result<std::unique_ptr<std::string>> result = std::make_unique<std::string>("hello");
    (*result)->append(" world");
    CHECK(result->get()->size() == 11);
    CHECK(result.value() != nullptr);
    const std::unique_ptr<std::string> taken = *std::move(result);
    CHECK(*taken == "hello world");
    CHECK(result.value() == nullptr);
    Result<std::unique_ptr<int>> other = std::make_unique<int>(7);
    CHECK(*std::move(other).value() == 7);
}

TEST_CASE("a result destroys its value exactly once, however it is moved", "[result]") {
    int alive = 0;
    {
        Result<Alive> first{Alive(alive)};
        CHECK(alive == 1);
        Result<Alive> second(std::move(first));
        CHECK(alive == 2);  // what was moved from is still an object
        Result<Alive> third(refused);
        CHECK(alive == 2);
        third = std::move(second);
        CHECK(alive == 3);
        CHECK(third);
        second = Result<Alive>(refused);
        CHECK(alive == 2);
        CHECK(second.error() == ECONNREFUSED);
        Result<Alive>& same = third;
        third = std::move(same);
        CHECK(third);
        CHECK(alive == 2);
    }
    CHECK(alive == 0);
}

TEST_CASE("a value whose move throws leaves no half-made result", "[result]") {
    int alive = 0;
    {
        Result<ThrowsWhenMoved> source{ThrowsWhenMoved(alive)};
        ThrowsWhenMoved::fail = true;
        CHECK_THROWS_AS(Result<ThrowsWhenMoved>(std::move(source)), int);
        ThrowsWhenMoved::fail = false;
        CHECK(source);
        CHECK(alive == 1);
    }
    CHECK(alive == 0);
    STATIC_REQUIRE_FALSE(std::is_move_assignable_v<Result<ThrowsWhenMoved>>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<Result<Alive>>);
}

TEST_CASE("an over-aligned value keeps its alignment", "[result]") {
    const Result<Wide> result{Wide()};
    CHECK(reinterpret_cast<uintptr_t>(&*result) % 128 == 0);
}

TEST_CASE("value() throws a std::system_error with the call and the object", "[result]") {
    Result<int> result(refused);
    try {
        static_cast<void>(result.value());
        FAIL("value() returned");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::connection_refused);
        CHECK_THAT(std::string(error.what()),
                   ContainsSubstring("connect 127.0.0.1:80: Connection refused"));
    }
    const Result<int>& constant = result;
    CHECK_THROWS_AS(constant.value(), std::system_error);
    CHECK_THROWS_AS(std::move(result).value(), std::system_error);
}

TEST_CASE("a result of nothing is a success or an error, and can be copied", "[result]") {
    const Result<void> good;
    CHECK(good);
    CHECK_FALSE(good.error());
    good.value();
    const Result<void> bad(refused);
    const Result<void> copy = bad;
    CHECK_FALSE(copy);
    CHECK(copy.error() == ECONNREFUSED);
    CHECK_THROWS_AS(copy.value(), std::system_error);
}

#ifndef RONDO_NO_ASSERT

TEST_CASE("taking the value that isn't there stops the program", "[result]") {
    const auto death = dies([] {
        Result<int> result(refused);
        static_cast<void>(*result);
    });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("look whether a Result holds a value"));
}

TEST_CASE("a result can't be made of an error that isn't one", "[result]") {
    CHECK(dies([] { const Result<int> result{Error()}; }).aborted);
    CHECK(dies([] { const Result<void> result{Error()}; }).aborted);
}

#endif
