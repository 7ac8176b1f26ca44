// SPDX-License-Identifier: BSL-1.0
// What is left of PosixSystem beside signals and children, which have test files of their own: it
// models the seam, tells threads apart, and can be abandoned after fork.

#include <fcntl.h>

#include <future>
#include <thread>
#include <type_traits>

#include <rondo/backend/poller.hpp>
#include <rondo/os/posix_system.hpp>

#include "support/catch.hpp"
#include "system_support.hpp"

using namespace system_support;
using rondo::PosixSystem;

static_assert(rondo::SystemApi<PosixSystem>);
static_assert(rondo::SystemApi<PortableSystem>);
static_assert(std::is_nothrow_default_constructible_v<PosixSystem>);
static_assert(std::is_nothrow_move_constructible_v<PosixSystem>);
static_assert(std::is_nothrow_move_assignable_v<PosixSystem>);
static_assert(!std::is_copy_constructible_v<PosixSystem>);

TEST_CASE("a thread's token is its own and stays the same", "[threads]") {
    const uintptr_t mine = PosixSystem::thread_token();
    uintptr_t others[2] = {};
    for (uintptr_t& other : others) {
        std::thread([&] { other = PosixSystem::thread_token(); }).join();
        CHECK(other != 0);
        CHECK(other != mine);
    }
    CHECK(mine != 0);
    CHECK(PosixSystem::thread_token() == mine);
}

TEST_CASE("a process with another thread isn't single-threaded", "[threads]") {
    std::promise<void> end;
    std::thread other([leave = end.get_future()] { leave.wait(); });
    CHECK_FALSE(PosixSystem::single_threaded());
    end.set_value();
    other.join();
}

TEST_CASE("a system that is not used opens and touches nothing") {
    const int next = dup(0);
    close(next);
    PosixSystem system;
    CHECK(system.take_signals() == 0);
    system.remove_signal(SIGUSR1);
    const int still = dup(0);
    CHECK(still == next);
    close(still);
}

TEMPLATE_TEST_CASE("an abandoned system has closed its descriptors and answers EBADF", "[fork]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    IdleChild child;
    TestType system;
    const int signals = *system.open_signals();
    REQUIRE(system.add_signal(SIGUSR1));
    const int ended = *system.watch_child(child.pid());
    CHECK(holds_in_child([&] {
        system.abandon();
        return !is_open(signals) && !is_open(ended) && system.open_signals().error() == EBADF &&
               system.add_signal(SIGUSR1).error() == EBADF &&
               system.watch_child(child.pid()).error() == EBADF &&
               system.reap_child(child.pid()).error() == EBADF;
    }));
    raise(SIGUSR1);
    CHECK(system.take_signals() == bit(SIGUSR1));
    child.let_exit();
    CHECK(readable(ended, -1));
}

TEMPLATE_TEST_CASE("abandoning makes no system call but close, and afterwards there is none",
                   "[fork]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    IdleChild child;
    TestType system;
    REQUIRE(system.add_signal(SIGUSR1));
    const int ended = *system.watch_child(child.pid());
    CHECK(holds_in_child([&] {
        // Address sanitizer asks for the signal stack before a function that doesn't return.
        if (!allow_only({SYS_close, SYS_exit_group, SYS_sigaltstack})) return false;
        system.abandon();
        system.remove_signal(SIGUSR1);
        system.unwatch_child(child.pid(), ended);
        const bool answers = system.take_signals() == 0 && !system.add_signal(SIGUSR1);
        {
            const TestType gone(std::move(system));
        }
        return answers;
    }));
}

TEMPLATE_TEST_CASE("a child that abandoned its parent's system can watch with one of its own",
                   "[fork]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    TestType system;
    REQUIRE(system.add_signal(SIGUSR1));
    CHECK(holds_in_child([&] {
        system.abandon();
        TestType own;
        if (!own.add_signal(SIGUSR1)) return false;
        raise(SIGUSR1);
        if (own.take_signals() != bit(SIGUSR1)) return false;
        own.remove_signal(SIGUSR1);
        return is_default(SIGUSR1);
    }));
    CHECK(system.take_signals() == 0);
}
