// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a loop wants from the system beside readiness: signals, the end of child processes, the
// addresses of names, and who the current thread is. Every poller that stands on a real kernel has
// one; a simulated poller answers the same calls from its world (the concept SystemApi of
// <rondo/backend/poller.hpp>).
//
// It refuses to do anything unasked: no disposition is touched before a signal is added, and no
// child is waited for that was not named.

#include <errno.h>
#include <stdint.h>

#include <rondo/config/platform.hpp>
#include <rondo/core/child_status.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/child_watch.hpp>
#include <rondo/os/inherited_fds.hpp>
#include <rondo/os/names.hpp>
#include <rondo/os/pin_thread.hpp>
#include <rondo/os/signal_watch.hpp>
#include <rondo/os/thread_token.hpp>
#include <rondo/os/wake_channel.hpp>

namespace rondo::inline RONDO_ABI {

/// How PosixSystem uses this kernel. The older ways that it chooses from work everywhere. Its table
/// of signals is the one thing that a poller keeps on the heap besides the loop's Memory.
struct NativeSystem {
    using Channel = WakeChannel;
    using Memory = Malloc;
    static constexpr bool pidfd = RONDO_HAS_PIDFD;
};

/// Signals, children and threads of the process.
///
/// Lifetime: movable. The destructor stops watching, closes what it opened, and puts a signal's
/// previous disposition back if nobody else in the process watches it and no one has replaced our
/// handler since. A plug-in has to destroy its systems before it is unloaded.
/// Threads: one system is externally synchronised; different systems may be used, and watch the
/// same signals, in different threads. thread_token() from any thread.
/// Errors: ENOMEM and EMFILE leave everything as before. After abandon() every call that can fail
/// answers EBADF.
template <class Policy>
class BasicPosixSystem {
public:
    BasicPosixSystem() noexcept = default;

    /// Never 0, and different for each two threads alive.
    /// Cost: one instruction where the compiler knows the thread pointer.
    static uintptr_t thread_token() noexcept { return detail::thread_token(); }

    /// True if no other thread exists now. False if there may be, or where the system doesn't tell.
    /// Cost: one load.
    static bool single_threaded() noexcept { return detail::single_threaded(); }

    /// The addresses of a name by getaddrinfo, in its order, as many as `out` has room for. Family
    /// none asks for both. Each gets `port`.
    /// Threads: any; it blocks for as long as the name service takes.
    /// Errors: a NameError, ENOMEM, EAFNOSUPPORT, and what the system says.
    static Result<size_t> resolve(const char* name, uint16_t port, Family family,
                                  std::span<Endpoint> out) noexcept {
        return detail::resolve_name(name, port, family, out);
    }
    /// Binds the calling thread to one processor, counted from 0 among those that it may run on.
    /// Errors: EINVAL if there are not so many; ENOTSUP where the system has no such call.
    static Result<void> pin_thread(int cpu) noexcept { return detail::pin_thread(cpu); }

    /// How many descriptors the service manager has handed in, numbered from 3 on. They become
    /// close-on-exec and non-blocking. The environment stays as it is: a second call answers the
    /// same, and forget_inherited_fds() ends that.
    /// Errors: EINVAL for a LISTEN_FDS that is no number; EBADF for a descriptor that isn't there.
    static Result<int> inherited_fds() noexcept { return detail::inherited_fds(); }

    /// Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment.
    /// Threads: while no other thread reads or changes the environment.
    static void forget_inherited_fds() noexcept { detail::forget_inherited_fds(); }

    /// The descriptor, owned by the system, that is readable when a watched signal has arrived. The
    /// same one every time.
    Result<int> open_signals() noexcept {
        if (abandoned_) return gone("open_signals");
        return signals_.open();
    }

    /// Watches a signal; counted, so that each add_signal takes a remove_signal. The first watcher
    /// in the process installs the library's handler (SA_RESTART), which passes the signal on to
    /// the handler that it replaced, with all signals but faults blocked. If somebody installs a
    /// handler over ours, what it passes on arrives here.
    /// Errors: EINVAL for what is no signal, for SIGKILL and SIGSTOP, and for SIGSEGV, SIGBUS,
    /// SIGFPE and SIGILL, after which a program can't go on.
    Result<void> add_signal(int number) noexcept {
        if (abandoned_) return gone("add_signal");
        return signals_.add(number);
    }

    /// Takes one add_signal back; without one it does nothing.
    void remove_signal(int number) noexcept { signals_.remove(number); }

    /// The signals that have arrived since the last call, each once: bit (n - 1) for signal n. May
    /// be empty although the descriptor was readable.
    uint64_t take_signals() noexcept { return signals_.take(); }

    /// A descriptor that is readable once the child may have ended: then ask reap_child. It is
    /// owned by the system; unwatch_child closes it.
    /// Errors: EINVAL unless pid > 0, ECHILD if it isn't a child of this process.
    /// Cost: a pidfd. Where there is none SIGCHLD is watched, and wakes every watched child's
    /// descriptor.
    Result<int> watch_child(int pid) noexcept {
        if (abandoned_) return gone("watch_child");
        return children_.add(pid);
    }

    /// How the child ended, once: afterwards it is no child any more.
    /// Errors: EAGAIN while it runs; EINVAL unless pid > 0; ECHILD if it isn't a child of this
    /// process, was reaped already, or if the process ignores SIGCHLD (then nobody can know).
    Result<ChildStatus> reap_child(int pid) noexcept {
        if (abandoned_) return gone("reap_child");
        return children_.reap(pid);
    }

    /// Ends a watch_child, before or after the child.
    void unwatch_child(int pid, int fd) noexcept { children_.remove(pid, fd); }

    /// In a fork child, instead of using or destroying the parent's system: closes the descriptors
    /// and makes no other system call, now and later. The handlers of the parent stay installed
    /// until exec; a signal that nobody in the child watches does what it would have done without
    /// them.
    void abandon() noexcept {
        abandoned_ = true;
        signals_.abandon();
        children_.abandon();
    }

private:
    static Error gone(const char* call) noexcept { return {EBADF, call, "after abandon"}; }

    detail::SignalWatch<Policy> signals_;
    detail::ChildWatches<Policy> children_;
    bool abandoned_ = false;
};

/// The system of this process.
using PosixSystem = BasicPosixSystem<NativeSystem>;

}  // namespace rondo::inline RONDO_ABI
