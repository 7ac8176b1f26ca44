// SPDX-License-Identifier: BSL-1.0
// The lock of the signal hub.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <rondo/os/signal_lock.hpp>

#include "support/catch.hpp"

using rondo::detail::SignalLock;

TEST_CASE("signals are blocked as long as the lock is held", "[signals]") {
    std::atomic<pid_t> holder{0};
    sigset_t mask;
    {
        const SignalLock lock(holder);
        CHECK(holder == getpid());
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        CHECK(sigismember(&mask, SIGINT) == 1);
    }
    CHECK(holder == 0);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGINT) == 0);
}

TEST_CASE("the lock excludes other threads", "[signals][threads]") {
    std::atomic<pid_t> holder{0};
    int counted = 0;
    const auto count = [&] {
        for (int i = 0; i < 1000; ++i) {
            const SignalLock lock(holder);
            ++counted;
        }
    };
    std::thread one(count), two(count);
    one.join();
    two.join();
    CHECK(counted == 2000);
}

TEST_CASE("a lock that a thread of the parent held during fork is free in the child",
          "[signals][fork]") {
    std::atomic<pid_t> holder{getppid()};
    {
        const SignalLock lock(holder);
    }
    CHECK(holder == 0);
}
