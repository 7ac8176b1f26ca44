// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the tests of the system layer share: the two policies that they run on, a guard that puts a
// signal's disposition back, child processes, and a filter that takes system calls away.

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>
#include <utility>
#include <vector>

#include <rondo/os/posix_system.hpp>

namespace system_support {

/// What systems without eventfd and pidfd use; a policy of its own has a hub of its own.
struct Portable {
    using Channel = rondo::PipeChannel;
    using Memory = rondo::Malloc;
    static constexpr bool pidfd = false;
};

using PortableSystem = rondo::BasicPosixSystem<Portable>;

/// Memory that is counted and can be used up.
struct NoMemory {
    static inline bool out = false;
    static inline int allocations = 0;
    static void* allocate(size_t size, size_t alignment) noexcept {
        ++allocations;
        return out ? nullptr : rondo::Malloc::allocate(size, alignment);
    }
    static void release(void* address, size_t size, size_t alignment) noexcept {
        rondo::Malloc::release(address, size, alignment);
    }
};
struct Starving : Portable {
    using Memory = NoMemory;
};

/// A channel whose wake() disturbs errno.
struct NoisyChannel : rondo::PipeChannel {
    NoisyChannel(rondo::PipeChannel&& channel) noexcept : PipeChannel(std::move(channel)) {}
    static rondo::Result<NoisyChannel> open() noexcept {
        auto channel = PipeChannel::open();
        if (!channel) return channel.error();
        return NoisyChannel(std::move(*channel));
    }
    void wake() noexcept {
        PipeChannel::wake();
        errno = EIO;
    }
};
struct Noisy : Portable {
    using Channel = NoisyChannel;
};

/// A system that watches one signal.
template <class System>
System watching(int number) {
    System system;
    system.add_signal(number).value();
    return system;
}

inline struct sigaction disposition(int number) {
    struct sigaction action{};
    sigaction(number, nullptr, &action);
    return action;
}

inline bool is_default(int number) {
    const auto now = disposition(number);
    return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

/// Gives a signal a disposition for the length of a test. The hubs of the process remember what
/// they found under their handlers; watching the signal once over the default makes them forget
/// what an earlier test has left there, so the order of the tests doesn't matter.
class Disposed {
public:
    explicit Disposed(int number, void (*handler)(int) = SIG_DFL) : Disposed(number, nullptr) {
        struct sigaction action{};
        action.sa_handler = handler;
        sigaction(number, &action, nullptr);
    }
    Disposed(int number, void (*handler)(int, siginfo_t*, void*)) : Disposed(number, nullptr) {
        struct sigaction action{};
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO;
        sigaction(number, &action, nullptr);
    }
    ~Disposed() { sigaction(number_, &old_, nullptr); }
    Disposed(const Disposed&) = delete;
    Disposed& operator=(const Disposed&) = delete;

private:
    Disposed(int number, std::nullptr_t) : number_(number) {
        struct sigaction action{};
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, &old_);
        forget<rondo::PosixSystem>();
        forget<PortableSystem>();
    }
    template <class System>
    void forget() const {
        System system;
        if (system.add_signal(number_)) system.remove_signal(number_);
    }

    int number_;
    struct sigaction old_{};
};

inline uint64_t bit(int number) { return uint64_t{1} << (number - 1); }

/// Readable within `timeout` milliseconds; -1 waits as long as it takes.
inline bool readable(int fd, int timeout = 0) {
    pollfd entry{fd, POLLIN, 0};
    int ready = 0;
    do {
        ready = poll(&entry, 1, timeout);
    } while (ready < 0 && errno == EINTR);
    return ready == 1 && (entry.revents & POLLIN) != 0;
}

inline bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

/// A child that runs `code` and exits with what it returns.
template <class Code>
pid_t start_child(Code&& code) {
    const pid_t child = fork();
    if (child == 0) _exit(code());
    return child;
}

/// The wait status of a child that ran `code`.
template <class Code>
int run_child(Code&& code) {
    const pid_t child = start_child(std::forward<Code>(code));
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/// True if `code`, run in a child, returned true.
template <class Code>
bool holds_in_child(Code&& code) {
    const int status = run_child([&] { return code() ? 0 : 1; });
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// A child that runs until it is told to exit, or until this object goes.
class IdleChild {
public:
    explicit IdleChild(int exit_code = 0) {
        int ends[2];
        if (pipe(ends) != 0) abort();
        pid_ = start_child([&] {
            close(ends[1]);
            char byte = 0;
            while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
            }
            return exit_code;
        });
        close(ends[0]);
        door_ = ends[1];
    }
    ~IdleChild() {
        let_exit();
        siginfo_t info{};
        while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) < 0 && errno == EINTR) {
        }
    }
    IdleChild(const IdleChild&) = delete;
    IdleChild& operator=(const IdleChild&) = delete;

    int pid() const { return pid_; }
    void let_exit() {
        if (door_ >= 0) close(std::exchange(door_, -1));
    }
    /// Waits until it has ended, and leaves its status.
    void await_end() {
        let_exit();
        siginfo_t info{};
        while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 &&
               errno == EINTR) {
        }
    }

private:
    int pid_ = -1;
    int door_ = -1;
};

/// From here on this process's system calls have `verdict`: those listed, or all but those listed.
inline bool filter_calls(std::initializer_list<long> calls, bool listed, unsigned verdict) {
    std::vector<sock_filter> program;
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    for (const long call : calls) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, listed ? verdict : SECCOMP_RET_ALLOW));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, listed ? SECCOMP_RET_ALLOW : verdict));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// Kills this process at any system call but these.
inline bool allow_only(std::initializer_list<long> calls) {
    return filter_calls(calls, false, SECCOMP_RET_KILL_PROCESS);
}

}  // namespace system_support
