// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/handlers.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

namespace {

using rondo::ChildStatus;
using rondo::Readiness;
using rondo::Tick;
using rondo::TimerId;
using Memory = rondo::test::CountingMemory<50>;
using IoHandler = rondo::BasicIoHandler<Memory>;

template <class... Args>
using Function = void (*)(Args...);

}  // namespace

TEST_CASE("an I/O handler takes nothing, the readiness, or the descriptor too", "[handlers]") {
    std::string heard;
    IoHandler handler([&](int fd, Readiness) { heard = "fd " + std::to_string(fd); });
    handler(7, Readiness::readable);
    CHECK(heard == "fd 7");
    handler = [&](Readiness ready) { heard = any(ready, Readiness::writable) ? "write" : "read"; };
    handler(7, Readiness::writable);
    CHECK(heard == "write");
    handler = [&] { heard = "ready"; };
    handler(7, Readiness::readable);
    CHECK(heard == "ready");
}

TEST_CASE("what each kind of handler takes, and what it refuses", "[handlers]") {
    STATIC_REQUIRE(rondo::IoCallable<Function<>>);
    STATIC_REQUIRE(rondo::IoCallable<Function<int, Readiness>>);
    STATIC_REQUIRE_FALSE(rondo::IoCallable<Function<int>>);
    STATIC_REQUIRE_FALSE(rondo::IoCallable<Function<Readiness, int>>);
    STATIC_REQUIRE_FALSE(rondo::IoCallable<int>);
    STATIC_REQUIRE(rondo::TaskCallable<Function<>>);
    STATIC_REQUIRE_FALSE(rondo::TaskCallable<Function<int>>);
    STATIC_REQUIRE(rondo::TimerCallable<Function<TimerId>>);
    STATIC_REQUIRE(rondo::TimerCallable<rondo::Duration (*)()>);
    STATIC_REQUIRE(rondo::TimerCallable<std::chrono::milliseconds (*)(TimerId)>);
    STATIC_REQUIRE_FALSE(rondo::TimerCallable<Function<std::string>>);
    STATIC_REQUIRE_FALSE(rondo::TimerCallable<int (*)()>);
    STATIC_REQUIRE(rondo::TickCallable<Function<Tick>>);
    STATIC_REQUIRE_FALSE(rondo::TickCallable<Function<TimerId>>);
    STATIC_REQUIRE(rondo::SignalCallable<Function<int>>);
    STATIC_REQUIRE_FALSE(rondo::SignalCallable<Function<std::string>>);
    STATIC_REQUIRE(rondo::ChildCallable<Function<ChildStatus>>);
    STATIC_REQUIRE_FALSE(rondo::ChildCallable<Function<int>>);
}

TEST_CASE("a handler takes over a move-only callable, in place when it is small", "[handlers]") {
    int heard = 0;
    const size_t before = Memory::allocations();
    rondo::BasicTask<Memory> task([n = std::make_unique<int>(3), &heard] { heard = *n; });
    rondo::BasicTask<Memory> moved(std::move(task));
    CHECK_FALSE(task);
    moved();
    CHECK(heard == 3);
    CHECK(Memory::allocations() == before);
}

TEST_CASE("a handler copies an lvalue and leaves it as it is", "[handlers]") {
    int sum = 0;
    const auto add = [&sum, text = std::string("abc")] { sum += static_cast<int>(text.size()); };
    rondo::BasicTask<Memory> first(add);
    rondo::BasicTask<Memory> second(add);
    first();
    second();
    CHECK(sum == 6);
}

TEST_CASE("a large callable's handler is empty when memory is out", "[handlers]") {
    const std::array<char, 100> ballast{};
    const auto large = [ballast](Readiness) { static_cast<void>(ballast); };
    Memory::fail_after(1);
    IoHandler failed(large);
    Memory::never_fail();
    CHECK_FALSE(failed);
    CHECK(IoHandler(large));
    CHECK(Memory::held() == 0);
}

TEST_CASE("signal and child handlers are told what happened", "[handlers]") {
    int number = 0;
    rondo::BasicSignalHandler<Memory> signal([&](int n) { number = n; });
    signal(15);
    CHECK(number == 15);
    rondo::BasicChildHandler<Memory> child(
        [&](const ChildStatus& status) { number = status.code; });
    child(ChildStatus{1, false, 3});
    CHECK(number == 3);
}
