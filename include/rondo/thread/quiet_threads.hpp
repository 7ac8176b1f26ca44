// SPDX-License-Identifier: BSL-1.0
#pragma once
// How this layer starts threads: with signals blocked.

#include <pthread.h>
#include <signal.h>

#include <initializer_list>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

// While it lives, threads are made with all signals blocked but those of faults: the handlers of
// the process run on threads that expect it.
class QuietThreads {
public:
    QuietThreads() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
            sigdelset(&all, fault);
        }
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    QuietThreads(const QuietThreads&) = delete;
    QuietThreads& operator=(const QuietThreads&) = delete;
    ~QuietThreads() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace rondo::inline RONDO_ABI::detail
