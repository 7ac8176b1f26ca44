// SPDX-License-Identifier: BSL-1.0
// Signals, seen from the systems that watch them: delivery, dispositions, chains, forks.
// Everything runs on both policies; two policies have two hubs, as two versions of the library
// have.

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <optional>

#include <rondo/os/signal_hub.hpp>

#include "support/catch.hpp"
#include "system_support.hpp"

using namespace system_support;
using rondo::PosixSystem;

namespace {

std::atomic<int> plain_calls{0};
std::atomic<int> siginfo_calls{0};
std::atomic<int> siginfo_value{0};
std::atomic<bool> context_given{false};
std::atomic<int> errno_seen{0};
struct sigaction covered{};

void count_plain(int) {
    ++plain_calls;
    errno_seen = errno;
}
void count_siginfo(int, siginfo_t* info, void* context) {
    ++siginfo_calls;
    siginfo_value = info->si_value.sival_int;
    context_given = context != nullptr;
}
void pass_on(int number, siginfo_t* info, void* context) {
    ++siginfo_calls;
    covered.sa_sigaction(number, info, context);
}

// Somebody who installs a handler over ours and passes on to it.
void cover(int number) {
    struct sigaction action{};
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_SIGINFO;
    sigaction(number, &action, &covered);
}

}  // namespace

TEMPLATE_TEST_CASE("a watched signal makes the descriptor readable and is taken once", "[signals]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    TestType system;
    const int fd = *system.open_signals();
    REQUIRE(system.add_signal(SIGUSR1));
    CHECK_FALSE(readable(fd));

    raise(SIGUSR1);
    CHECK(readable(fd));
    CHECK(system.take_signals() == bit(SIGUSR1));
    CHECK_FALSE(readable(fd));
    CHECK(system.take_signals() == 0);
}

TEMPLATE_TEST_CASE("signals that arrive together are one set", "[signals]", PosixSystem,
                   PortableSystem) {
    const Disposed guard(SIGUSR1), guard2(SIGUSR2), guard64(64);
    auto system = watching<TestType>(SIGUSR1);
    REQUIRE(system.add_signal(SIGUSR2));
    REQUIRE(system.add_signal(64));
    for (const int number : {SIGUSR1, 64, SIGUSR2, SIGUSR1}) raise(number);
    CHECK(system.take_signals() == (bit(SIGUSR1) | bit(SIGUSR2) | uint64_t{1} << 63));
    CHECK_FALSE(readable(*system.open_signals()));
}

TEMPLATE_TEST_CASE("opening twice gives the same descriptor, close-on-exec and non-blocking",
                   "[signals]", PosixSystem, PortableSystem) {
    TestType system;
    const int fd = *system.open_signals();
    CHECK(*system.open_signals() == fd);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

TEMPLATE_TEST_CASE("every system that watches a signal hears it", "[signals]", PosixSystem,
                   PortableSystem) {
    const Disposed guard(SIGUSR1);
    auto one = watching<TestType>(SIGUSR1);
    auto two = watching<TestType>(SIGUSR1);
    auto other = watching<TestType>(SIGUSR2);
    raise(SIGUSR1);
    CHECK(one.take_signals() == bit(SIGUSR1));
    CHECK(two.take_signals() == bit(SIGUSR1));
    CHECK(other.take_signals() == 0);
    CHECK_FALSE(readable(*other.open_signals()));
}

TEMPLATE_TEST_CASE("a signal added twice is watched until it was removed twice", "[signals]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1, SIG_IGN);
    auto system = watching<TestType>(SIGUSR1);
    REQUIRE(system.add_signal(SIGUSR1));
    system.remove_signal(SIGUSR1);
    raise(SIGUSR1);
    CHECK(system.take_signals() == bit(SIGUSR1));
    system.remove_signal(SIGUSR1);
    raise(SIGUSR1);
    CHECK(system.take_signals() == 0);
    system.remove_signal(SIGUSR1);
    REQUIRE(system.add_signal(SIGUSR1));
    raise(SIGUSR1);
    CHECK(system.take_signals() == bit(SIGUSR1));
}

TEMPLATE_TEST_CASE("a removed signal is not reported any more", "[signals]", PosixSystem,
                   PortableSystem) {
    const Disposed guard(SIGUSR1);
    auto system = watching<TestType>(SIGUSR1);
    raise(SIGUSR1);
    system.remove_signal(SIGUSR1);
    CHECK(system.take_signals() == 0);
    REQUIRE(system.add_signal(SIGUSR1));
    CHECK(system.take_signals() == 0);
}

TEMPLATE_TEST_CASE("the last one to remove a signal puts the whole disposition back", "[signals]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    struct sigaction before{};
    before.sa_handler = count_plain;
    before.sa_flags = SA_NODEFER;
    sigaddset(&before.sa_mask, SIGHUP);
    sigaction(SIGUSR1, &before, nullptr);

    auto one = watching<TestType>(SIGUSR1);
    std::optional<TestType> two(watching<TestType>(SIGUSR1));
    const auto during = disposition(SIGUSR1);
    CHECK((during.sa_flags & SA_SIGINFO) != 0);
    CHECK((during.sa_flags & SA_RESTART) != 0);
    one.remove_signal(SIGUSR1);
    CHECK(disposition(SIGUSR1).sa_sigaction == during.sa_sigaction);
    two.reset();
    const auto after = disposition(SIGUSR1);
    CHECK(after.sa_handler == count_plain);
    CHECK((after.sa_flags & (SA_SIGINFO | SA_RESTART | SA_NODEFER)) == SA_NODEFER);
    CHECK(sigismember(&after.sa_mask, SIGHUP) == 1);
    CHECK(sigismember(&after.sa_mask, SIGTERM) == 0);
}

TEMPLATE_TEST_CASE("adding and removing leave the thread's signal mask as it was", "[signals]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    sigset_t blocked, before, after;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    {
        auto system = watching<TestType>(SIGUSR1);
        system.remove_signal(SIGUSR1);
    }
    pthread_sigmask(SIG_SETMASK, &before, &after);
    CHECK(sigismember(&after, SIGUSR2) == 1);
    CHECK(sigismember(&after, SIGUSR1) == 0);
}

TEMPLATE_TEST_CASE("a handler that was there before is still called", "[signals]", PosixSystem,
                   PortableSystem) {
    plain_calls = 0;
    siginfo_calls = 0;
    SECTION("a plain one") {
        const Disposed guard(SIGUSR1, count_plain);
        auto system = watching<TestType>(SIGUSR1);
        raise(SIGUSR1);
        CHECK(plain_calls == 1);
        CHECK(system.take_signals() == bit(SIGUSR1));
    }
    SECTION("one that takes the signal's arguments") {
        const Disposed guard(SIGUSR1, count_siginfo);
        auto system = watching<TestType>(SIGUSR1);
        sigval value{};
        value.sival_int = 42;
        siginfo_value = 0;
        context_given = false;
        sigqueue(getpid(), SIGUSR1, value);
        CHECK(siginfo_calls == 1);
        CHECK(siginfo_value == 42);
        CHECK(context_given);
        CHECK(system.take_signals() == bit(SIGUSR1));
    }
    SECTION("but being ignored is not a handler") {
        const Disposed guard(SIGUSR1, SIG_IGN);
        auto system = watching<TestType>(SIGUSR1);
        raise(SIGUSR1);
        CHECK(system.take_signals() == bit(SIGUSR1));
    }
}

TEST_CASE("the handler keeps errno, for the program and for the handler behind it", "[signals]") {
    const Disposed guard(SIGUSR1, count_plain);
    auto system = watching<rondo::BasicPosixSystem<Noisy>>(SIGUSR1);
    errno_seen = 0;
    errno = 4711;
    raise(SIGUSR1);
    const int after = errno;
    CHECK(after == 4711);
    CHECK(errno_seen != EIO);
    CHECK(system.take_signals() == bit(SIGUSR1));
}

TEMPLATE_TEST_CASE("what can't be watched is EINVAL and changes nothing", "[signals]", PosixSystem,
                   PortableSystem) {
    TestType system;
    for (const int number : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        CAPTURE(number);
        const auto added = system.add_signal(number);
        REQUIRE_FALSE(added);
        CHECK(added.error() == EINVAL);
        system.remove_signal(number);
    }
    CHECK(system.add_signal(0).error().message().view() == "sigaction signal 0: invalid argument");
    CHECK(system.take_signals() == 0);
}

TEST_CASE("a signal that the C library keeps for itself is refused", "[signals]") {
    PosixSystem system;
    CHECK(system.add_signal(32).error() == EINVAL);
    CHECK(system.add_signal(32).error() == EINVAL);
}

TEMPLATE_TEST_CASE("a handler installed over ours is left alone", "[signals]", PosixSystem,
                   PortableSystem) {
    const Disposed guard(SIGUSR1);
    siginfo_calls = 0;
    auto system = watching<TestType>(SIGUSR1);
    cover(SIGUSR1);
    raise(SIGUSR1);
    CHECK(siginfo_calls == 1);
    CHECK(system.take_signals() == bit(SIGUSR1));

    system.remove_signal(SIGUSR1);
    CHECK(disposition(SIGUSR1).sa_sigaction == pass_on);
    raise(SIGUSR1);
    CHECK(siginfo_calls == 2);
    CHECK(system.take_signals() == 0);

    SECTION("and watching anew makes no circle") {
        REQUIRE(system.add_signal(SIGUSR1));
        raise(SIGUSR1);
        CHECK(siginfo_calls == 3);
        CHECK(system.take_signals() == bit(SIGUSR1));
        system.remove_signal(SIGUSR1);
    }
    SECTION("and once it is gone ours is put back") {
        REQUIRE(system.add_signal(SIGUSR1));
        sigaction(SIGUSR1, &covered, nullptr);
        raise(SIGUSR1);
        CHECK(system.take_signals() == bit(SIGUSR1));
        system.remove_signal(SIGUSR1);
        CHECK(is_default(SIGUSR1));
    }
    SECTION("unless it has left nothing behind") {
        signal(SIGUSR1, SIG_IGN);
        REQUIRE(system.add_signal(SIGUSR1));
        raise(SIGUSR1);
        CHECK(system.take_signals() == bit(SIGUSR1));
        system.remove_signal(SIGUSR1);
        CHECK(disposition(SIGUSR1).sa_handler == SIG_IGN);
    }
}

TEMPLATE_TEST_CASE("only the first to watch a signal touches its disposition", "[signals]",
                   PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    const auto first = watching<TestType>(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    const auto second = watching<TestType>(SIGUSR1);
    CHECK(disposition(SIGUSR1).sa_handler == SIG_IGN);
}

TEMPLATE_TEST_CASE("the handler that was there before may come back over ours and be watched again",
                   "[signals]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1, count_plain);
    auto system = watching<TestType>(SIGUSR1);
    signal(SIGUSR1, count_plain);
    system.remove_signal(SIGUSR1);
    REQUIRE(system.add_signal(SIGUSR1));
    raise(SIGUSR1);
    CHECK(system.take_signals() == bit(SIGUSR1));
}

TEST_CASE("two hubs of one process pass signals on to each other", "[signals]") {
    const Disposed guard(SIGUSR1);
    auto first = watching<PosixSystem>(SIGUSR1);
    auto second = watching<PortableSystem>(SIGUSR1);
    raise(SIGUSR1);
    CHECK(first.take_signals() == bit(SIGUSR1));
    CHECK(second.take_signals() == bit(SIGUSR1));

    SECTION("the last that came leaves first") {
        second.remove_signal(SIGUSR1);
        raise(SIGUSR1);
        CHECK(first.take_signals() == bit(SIGUSR1));
        first.remove_signal(SIGUSR1);
        CHECK(is_default(SIGUSR1));
    }
    SECTION("the first that came goes and comes again") {
        for (int i = 0; i < 3; ++i) {
            first.remove_signal(SIGUSR1);
            REQUIRE(first.add_signal(SIGUSR1));
        }
        raise(SIGUSR1);
        CHECK(first.take_signals() == bit(SIGUSR1));
        CHECK(second.take_signals() == bit(SIGUSR1));
    }
    SECTION("when both are gone, in any order, the signal has its default action again") {
        first.remove_signal(SIGUSR1);
        second.remove_signal(SIGUSR1);
        const int status = run_child([] { return raise(SIGUSR1); });
        CHECK(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == SIGUSR1);
    }
}

TEMPLATE_TEST_CASE("a moved system goes on watching", "[signals]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1), guard2(SIGUSR2);
    auto first = watching<TestType>(SIGUSR1);
    const int fd = *first.open_signals();
    TestType second(std::move(first));
    raise(SIGUSR1);
    CHECK(*second.open_signals() == fd);
    CHECK(second.take_signals() == bit(SIGUSR1));

    auto third = watching<TestType>(SIGUSR2);
    const int given_up = *third.open_signals();
    third = std::move(second);
    CHECK_FALSE(is_open(given_up));
    CHECK(is_default(SIGUSR2));
    raise(SIGUSR1);
    CHECK(third.take_signals() == bit(SIGUSR1));
}

TEST_CASE("without memory or descriptors a system says so and touches no disposition",
          "[signals]") {
    struct Untouched : Starving {};  // its own hub, in which no port was made before
    const Disposed guard(SIGUSR1);
    rondo::BasicPosixSystem<Untouched> system;
    SECTION("memory") {
        NoMemory::out = true;
        CHECK(system.open_signals().error() == ENOMEM);
        CHECK(system.add_signal(SIGUSR1).error() == ENOMEM);
        NoMemory::out = false;
    }
    SECTION("descriptors") {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit none{0, limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        CHECK(system.add_signal(SIGUSR1).error() == EMFILE);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    CHECK(is_default(SIGUSR1));
    CHECK(system.add_signal(SIGUSR1));
}

TEMPLATE_TEST_CASE("a signal to a fork child never reaches the parent's descriptor",
                   "[signals][fork]", PosixSystem, PortableSystem) {
    const Disposed guard(SIGUSR1);
    auto system = watching<TestType>(SIGUSR1);
    SECTION("it does in the child what it did before anybody watched") {
        const int status = run_child([] { return raise(SIGUSR1); });
        CHECK(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == SIGUSR1);
    }
    SECTION("also when the child destroys its copy and watches with a system of its own") {
        CHECK(holds_in_child([&] {
            {
                const TestType gone(std::move(system));
            }
            TestType own;
            if (!own.add_signal(SIGUSR1)) return false;
            raise(SIGUSR1);
            return own.take_signals() == bit(SIGUSR1);
        }));
    }
    CHECK_FALSE(readable(*system.open_signals()));
    CHECK(system.take_signals() == 0);
    raise(SIGUSR1);
    CHECK(system.take_signals() == bit(SIGUSR1));
}
