// SPDX-License-Identifier: BSL-1.0
#pragma once
// One subscriber of the signal hub: which signals it wants, which have arrived, and the descriptor
// that wakes it. Signal handlers of any thread come here; they read and write atomics and make one
// write(2), when the first bit of a set arrives.
//
// A port is never freed, only reused: a handler that has just found it in the hub's list may look
// at it for as long as it likes. What must not happen is a write to a descriptor that was closed,
// or closed and reused; for that a handler counts itself in as a visitor *before* it looks whether
// the port still wants the signal, and the owner stops wanting it *before* it waits for the
// visitors to leave. Whichever comes second in the single order of these operations sees the other.
// The wait is short and can't be prolonged: visitors block signals, and who comes later finds
// nothing to do.

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

#include <atomic>
#include <utility>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

// Signals are numbered from 1; a set of them has bit (n - 1) for signal n.
inline constexpr int max_signal = 64;

constexpr uint64_t signal_bit(int number) noexcept { return uint64_t{1} << (number - 1); }

template <class Channel>
class SignalPort {
public:
    SignalPort(Channel channel, pid_t owner) noexcept
        : owner_(owner), channel_(std::move(channel)) {}

    SignalPort(const SignalPort&) = delete;
    SignalPort& operator=(const SignalPort&) = delete;

    // For handlers. The second look at `wanted_` is the one that counts.
    bool deliver(uint64_t bit, pid_t process) noexcept {
        if (!wants(bit, process)) return false;
        users_.fetch_add(1);
        const bool wanted = (wanted_.load() & bit) != 0;
        if (wanted && pending_.fetch_or(bit) == 0) channel_.wake();
        users_.fetch_sub(1);
        return wanted;
    }

    // A fork child has a copy of the port, but the descriptor in it is shared with the parent: the
    // port is of use to the process that opened it and to no other.
    bool wants(uint64_t bit, pid_t process) const noexcept {
        return (wanted_.load() & bit) != 0 && owner_.load() == process;
    }

    // For the owner, under the hub's lock.
    void want(uint64_t bit) noexcept { wanted_.fetch_or(bit); }
    void drop(uint64_t bits) noexcept {
        wanted_.fetch_and(~bits);
        pending_.fetch_and(~bits);
    }

    // For the owner.
    uint64_t wanted() const noexcept { return wanted_.load(); }
    pid_t owner() const noexcept { return owner_.load(); }
    int fd() const noexcept { return channel_.fd(); }
    uint32_t& count(int number) noexcept { return counts_[number - 1]; }
    void wake() noexcept { channel_.wake(); }

    // Drained before the set is taken: a bit that arrives in between is in the set, and at worst
    // the descriptor then tells of it once more.
    uint64_t take() noexcept {
        channel_.drain();
        return pending_.exchange(0) & wanted_.load();
    }

    // Wants nothing any more; gives the port back as soon as no handler is at it.
    void close() noexcept {
        while (users_.load() != taken) sched_yield();
        channel_.close();
        users_.fetch_sub(taken);
    }

    // In a fork child: the parent's handlers, if the fork happened in the middle of one, are
    // counted in for ever, and the port can't be used again.
    void abandon() noexcept {
        wanted_.store(0);
        channel_.close();
        uint32_t nobody = taken;
        users_.compare_exchange_strong(nobody, 0);
    }

    // Takes a port that was given back.
    bool claim(Channel& channel, pid_t owner) noexcept {
        uint32_t nobody = 0;
        if (!users_.compare_exchange_strong(nobody, taken)) return false;
        for (uint32_t& count : counts_) count = 0;
        channel_ = std::move(channel);
        owner_.store(owner);
        pending_.store(0);
        return true;
    }

    SignalPort* next = nullptr;  // fixed once the port is in the hub's list

private:
    static constexpr uint32_t taken = uint32_t{1} << 31;
    static_assert(std::atomic<uint64_t>::is_always_lock_free, "a signal handler can't lock");

    std::atomic<uint64_t> wanted_ = 0;
    std::atomic<uint64_t> pending_ = 0;
    std::atomic<uint32_t> users_ = taken;  // the owner, and the handlers that are here now
    std::atomic<pid_t> owner_;
    Channel channel_;
    uint32_t counts_[max_signal] = {};
};

}  // namespace rondo::inline RONDO_ABI::detail
