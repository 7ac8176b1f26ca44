// SPDX-License-Identifier: BSL-1.0
#pragma once
// The end of child processes. On Linux a child is a descriptor, pidfd_open(2) (since 5.3); where
// that is missing each watched child takes a place of its own in the signal hub, for SIGCHLD, and
// the loop asks waitid(2) whenever one has arrived.
//
// Every question names one pid. It refuses to wait for "any child": that would take away the status
// of a child that other code of the program started.

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <utility>

#include <rondo/config/platform.hpp>
#include <rondo/core/child_status.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/fd.hpp>
#include <rondo/os/signal_watch.hpp>

#if RONDO_HAS_PIDFD
#include <sys/syscall.h>
#endif

namespace rondo::inline RONDO_ABI::detail {

// Non-blocking and close-on-exec by itself. ENOSYS: before Linux 5.3, or a sandbox.
inline int open_pidfd([[maybe_unused]] int pid) noexcept {
#if RONDO_HAS_PIDFD && defined(SYS_pidfd_open)
    return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
#else
    errno = ENOSYS;
    return -1;
#endif
}

// EAGAIN while the child runs. `how` may add WNOWAIT, which leaves the status where it is.
inline Result<ChildStatus> ask_child(int pid, int how) noexcept {
    Text<24> object;
    object.append("pid ").append(pid);
    if (pid <= 0) return Error(EINVAL, "waitid", object.view());
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | how) != 0) {
        return Error(errno, "waitid", object.view());
    }
    if (info.si_pid == 0) return Error(EAGAIN, "waitid", object.view());
    return ChildStatus{pid, info.si_code != CLD_EXITED, info.si_status};
}

/// The children that one system watches. `Policy::pidfd` chooses between the two ways.
/// Threads: externally synchronised.
template <class Policy>
class ChildWatches {
public:
    ChildWatches() noexcept = default;
    ChildWatches(ChildWatches&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
    ChildWatches& operator=(ChildWatches&& other) noexcept {
        ChildWatches old(std::move(other));
        std::swap(first_, old.first_);
        return *this;
    }
    ~ChildWatches() {
        while (first_ != nullptr) release(first_);
    }

    Result<int> add(int pid) noexcept {
        void* memory = Policy::Memory::allocate(sizeof(Child), alignof(Child));
        if (memory == nullptr) return Error(ENOMEM, "malloc", "child watch");
        first_ = ::new (memory) Child{.pid = pid, .next = first_};
        auto fd = watch(*first_);
        if (!fd) release(first_);
        return fd;
    }

    void remove(int pid, int fd) noexcept {
        for (Child** link = &first_; *link != nullptr; link = &(*link)->next) {
            if ((*link)->pid == pid && (*link)->fd() == fd) return release(*link);
        }
    }

    // The signal is taken before the question, so that one that comes in between is not lost.
    Result<ChildStatus> reap(int pid) noexcept {
        for (Child* child = first_; child != nullptr; child = child->next) {
            if (child->pid == pid) child->sigchld.take();
        }
        return ask_child(pid, 0);
    }

    void abandon() noexcept {
        for (Child* child = first_; child != nullptr; child = child->next) child->sigchld.abandon();
        while (first_ != nullptr) release(first_);
    }

private:
    struct Child {
        int pid;
        Child* next;
        Fd pidfd{};
        SignalWatch<Policy> sigchld{};

        int fd() const noexcept { return pidfd.get() >= 0 ? pidfd.get() : sigchld.fd(); }
    };

    Result<int> watch(Child& child) noexcept {
        if (Policy::pidfd) {
            const auto state = ask_child(child.pid, WNOWAIT);
            if (!state && state.error() != EAGAIN) return state.error();
            child.pidfd.reset(open_pidfd(child.pid));
            if (child.pidfd.get() >= 0) return child.pidfd.get();
            if (errno != ENOSYS && errno != EPERM) return Error(errno, "pidfd_open");
        }
        return watch_by_signal(child);
    }

    // Asked after the handler is in place: a child that ended before makes no signal.
    static Result<int> watch_by_signal(Child& child) noexcept {
        if (const auto added = child.sigchld.add(SIGCHLD); !added) return added.error();
        const auto state = ask_child(child.pid, WNOWAIT);
        if (state) child.sigchld.wake();
        if (!state && state.error() != EAGAIN) return state.error();
        return child.sigchld.fd();
    }

    static void release(Child*& link) noexcept {
        Child* child = std::exchange(link, link->next);
        child->~Child();
        Policy::Memory::release(child, sizeof(Child), alignof(Child));
    }

    Child* first_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
