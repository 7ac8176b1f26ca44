// SPDX-License-Identifier: BSL-1.0
#pragma once
// The one global of the library. A signal belongs to the process, so one table per process hands
// each signal to every system (every loop) that watches it; it is initialised at compile time and
// takes no part in static construction or destruction.
//
// The handler of the process is installed when the first system watches a signal and put back when
// the last one stops, and it passes every signal on to the handler that it found. Two versions of
// the library in one process have a hub each, which chain to each other like strangers.
//
// It refuses to fight. Somebody who installs a handler over ours keeps the signal: what he passes
// on we hear, and watching anew doesn't push him aside (he may pass on to us, and over him we would
// pass on to him: a circle). Only when nobody in the process watches and the signal reaches us all
// the same (a fork child; handlers removed in another order than installed) does the handler give
// way to the default action that it had replaced.

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>
#include <new>
#include <utility>

#include <rondo/core/memory.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/signal_lock.hpp>
#include <rondo/os/signal_port.hpp>

namespace rondo::inline RONDO_ABI::detail {

// What we found when we installed our handler. The two atomics are what the handler reads: at most
// one of them isn't null (SIG_DFL is null).
class PreviousHandler {
public:
    void remember(const struct sigaction& action) noexcept {
        const bool siginfo = (action.sa_flags & SA_SIGINFO) != 0;
        siginfo_.store(nullptr);
        plain_.store(siginfo ? nullptr : action.sa_handler);
        if (siginfo) siginfo_.store(action.sa_sigaction);
        action_ = action;
    }

    const struct sigaction& action() const noexcept { return action_; }

    bool is_default() const noexcept {
        return siginfo_.load() == nullptr && plain_.load() == nullptr;
    }

    void call(int number, siginfo_t* info, void* context) const {
        if (const auto handler = siginfo_.load()) return handler(number, info, context);
        if (const auto handler = plain_.load(); handler != SIG_DFL && handler != SIG_IGN) {
            handler(number);
        }
    }

private:
    std::atomic<void (*)(int, siginfo_t*, void*)> siginfo_ = nullptr;
    std::atomic<void (*)(int)> plain_ = nullptr;
    struct sigaction action_{};  // guarded by the hub's lock
};

/// Fans signals out to ports. `Policy` names the Channel and the Memory.
/// Threads: any, for different ports; one port is externally synchronised.
template <class Policy>
class SignalHub {
public:
    using Port = SignalPort<typename Policy::Channel>;

    Result<Port*> open() noexcept {
        auto channel = Policy::Channel::open();
        if (!channel) return channel.error();
        const pid_t self = getpid();
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            if (port->claim(*channel, self)) return port;
        }
        void* memory = Policy::Memory::allocate(sizeof(Port), alignof(Port));
        if (memory == nullptr) return Error(ENOMEM, "malloc", "signal port");
        Port* port = ::new (memory) Port(std::move(*channel), self);
        port->next = ports_.load();
        while (!ports_.compare_exchange_weak(port->next, port)) {
        }
        return port;
    }

    // A port of the parent is abandoned, also if the child has forgotten to do so.
    [[gnu::cold, gnu::noinline]] void close(Port& port) noexcept {
        if (port.owner() != getpid()) return port.abandon();
        if (port.wanted() != 0) drop(port, port.wanted());
        port.close();
    }

    /// Errors: EINVAL for what isn't a signal, can't be caught, or is a fault of the program.
    Result<void> add(Port& port, int number) noexcept {
        if (!can_watch(number)) return error(EINVAL, number);
        if (port.count(number) == 0) {
            const SignalLock lock(holder_);
            const bool first = !anybody_wants(signal_bit(number));
            port.want(signal_bit(number));
            if (const int code = first ? install(number) : 0; code != 0) {
                port.drop(signal_bit(number));
                return error(code, number);
            }
        }
        ++port.count(number);
        return {};
    }

    void remove(Port& port, int number) noexcept {
        if (!can_watch(number) || port.count(number) == 0) return;
        if (--port.count(number) == 0) drop(port, signal_bit(number));
    }

private:
    using Action = struct sigaction;

    // Returning from the handler of a fault repeats the fault, for ever.
    static bool is_fault(int number) noexcept {
        return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
    }
    static bool can_watch(int number) noexcept {
        return number >= 1 && number <= max_signal && number != SIGKILL && number != SIGSTOP &&
               !is_fault(number);
    }
    static Error error(int code, int number) noexcept {
        Text<24> object;
        object.append("signal ").append(number);
        return {code, "sigaction", object.view()};
    }

    bool is_ours(const Action& action) const noexcept {
        return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == entry;
    }
    static bool same(const Action& a, const Action& b) noexcept {
        if (((a.sa_flags ^ b.sa_flags) & SA_SIGINFO) != 0) return false;
        return (a.sa_flags & SA_SIGINFO) != 0 ? a.sa_sigaction == b.sa_sigaction
                                              : a.sa_handler == b.sa_handler;
    }
    static bool is_function(const Action& action) noexcept {
        return (action.sa_flags & SA_SIGINFO) != 0 ||
               (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    }

    bool anybody_wants(uint64_t bit) const noexcept {
        const pid_t self = getpid();
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            if (port->wants(bit, self)) return true;
        }
        return false;
    }

    void drop(Port& port, uint64_t bits) noexcept {
        const SignalLock lock(holder_);
        port.drop(bits);
        for (int number = 1; number <= max_signal; ++number) {
            const uint64_t bit = signal_bit(number);
            if ((bits & bit) != 0 && !anybody_wants(bit)) put_back(number);
        }
    }

    // Blocks all signals, so that nothing leaves a visit to a port unfinished; a fault in a handler
    // that we pass on to still finds the program's handler for it. SA_ONSTACK is for runtimes with
    // small stacks; it does nothing where no alternate stack was set up.
    Action ours() const noexcept {
        Action action{};
        action.sa_sigaction = entry;
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        sigfillset(&action.sa_mask);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
            sigdelset(&action.sa_mask, fault);
        }
        return action;
    }

    // Ours may be there already: left by a stranger who restored it, or by the parent of this
    // process. It is installed even so, because give_way() may be at work in another thread.
    int install(int number) noexcept {
        Action now{};
        if (sigaction(number, nullptr, &now) != 0) return errno;
        Slot& slot = slots_[number - 1];
        if (!is_ours(now)) {
            if (slot.installed && is_function(now) && !same(now, slot.previous.action())) return 0;
            slot.previous.remember(now);
        }
        const Action action = ours();
        if (sigaction(number, &action, nullptr) != 0) return errno;
        slot.installed = true;
        return 0;
    }

    void put_back(int number) noexcept {
        Action now{};
        Slot& slot = slots_[number - 1];
        if (sigaction(number, nullptr, &now) != 0) return;
        if (is_ours(now)) sigaction(number, &slot.previous.action(), nullptr);
        slot.installed = !is_ours(now) && is_function(now);
    }

    static void on_signal(int number, siginfo_t* info, void* context);

    // A variable, because plug-ins may share the hub and yet have a copy of the function each; and
    // none of the hub, which without it is all zeros and takes no room in the program's file.
    using Function = void(int, siginfo_t*, void*);
    static inline constinit Function* entry = &on_signal;

    [[gnu::noinline]] bool deliver(int number) noexcept {
        const pid_t self = getpid();
        bool wanted = false;
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            wanted |= port->deliver(signal_bit(number), self);
        }
        return wanted;
    }

    // In the handler. Asks once more after the change: a system that began to watch meanwhile
    // either is seen here or installs after us. The signal is blocked here; raised, it acts on
    // return.
    void give_way(int number) noexcept {
        Action now{};
        if (sigaction(number, nullptr, &now) != 0 || !is_ours(now)) return;
        Action initial{};
        initial.sa_handler = SIG_DFL;
        sigaction(number, &initial, nullptr);
        if (deliver(number)) {
            sigaction(number, &now, nullptr);
        } else {
            ::raise(number);
        }
    }

    struct Slot {
        PreviousHandler previous;
        bool installed = false;  // ours is in place, or under a stranger's; guarded by the lock
    };

    std::atomic<Port*> ports_ = nullptr;
    std::atomic<pid_t> holder_ = 0;
    Slot slots_[max_signal] = {};
};

template <class Policy>
inline constinit SignalHub<Policy> signal_hub{};

// Not noexcept: a handler that we pass on to may unwind (thread cancellation does).
template <class Policy>
void SignalHub<Policy>::on_signal(int number, siginfo_t* info, void* context) {
    const int saved = errno;
    SignalHub& hub = signal_hub<Policy>;
    const PreviousHandler& previous = hub.slots_[number - 1].previous;
    if (!hub.deliver(number) && previous.is_default()) hub.give_way(number);
    errno = saved;
    previous.call(number, info, context);
}

}  // namespace rondo::inline RONDO_ABI::detail
