// SPDX-License-Identifier: BSL-1.0
#pragma once
// The lock of the signal hub: held for a few system calls while somebody adds or removes a signal,
// never taken by a signal handler. Signals are blocked as long as it is held, so that no handler of
// the user can keep it by leaving with longjmp.
//
// It remembers the process that holds it: one that another thread of the parent held during fork(2)
// belongs to nobody in the child. It is no <mutex>, which can't do that.

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

class SignalLock {
public:
    explicit SignalLock(std::atomic<pid_t>& holder) noexcept : holder_(holder) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &mask_);
        const pid_t self = getpid();
        pid_t expected = 0;
        while (!holder_.compare_exchange_weak(expected, self)) {
            if (expected != self) continue;
            expected = 0;
            sched_yield();
        }
    }
    ~SignalLock() {
        holder_.store(0);
        pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }
    SignalLock(const SignalLock&) = delete;
    SignalLock& operator=(const SignalLock&) = delete;

private:
    std::atomic<pid_t>& holder_;
    sigset_t mask_;
};

}  // namespace rondo::inline RONDO_ABI::detail
