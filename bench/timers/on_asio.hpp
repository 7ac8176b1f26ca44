// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers on asio: steady_timer with the executor of io_context in place of any_io_executor, memory
// for its waits beside it ("Custom Memory Allocation" in its overview), and no locks
// (ASIO_CONCURRENCY_HINT_UNSAFE): each is faster than the default. Deadlines are absolute.
//
// To cancel or move a timer is to let the handler of its wait be called with an error, in the next
// turn. settle() is that turn, without which the work wouldn't be done. poll() asks the kernel
// twice, before and after the handlers.

#include <array>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <new>
#include <span>

#include "bench/timers/workload.hpp"

namespace bench {

/// Room for two waits of a timer: one that is over but hasn't been called, and the next. A third,
/// if the timer is moved twice in a turn, takes the heap's.
class WaitMemory {
public:
    void* take(size_t bytes) {
        for (Block& block : blocks_) {
            if (block.used || bytes > sizeof block.bytes) continue;
            block.used = true;
            return block.bytes;
        }
        return ::operator new(bytes);
    }
    void give_back(void* memory) {
        for (Block& block : blocks_) {
            if (memory != block.bytes) continue;
            block.used = false;
            return;
        }
        ::operator delete(memory);
    }

private:
    struct Block {
        alignas(std::max_align_t) unsigned char bytes[112];
        bool used = false;
    };
    std::array<Block, 2> blocks_;
};

template <class T>
class WaitAllocator {
public:
    using value_type = T;

    explicit WaitAllocator(WaitMemory& memory) : memory_(&memory) {}
    template <class U>
    explicit WaitAllocator(const WaitAllocator<U>& other) : memory_(other.memory_) {}

    T* allocate(size_t count) { return static_cast<T*>(memory_->take(count * sizeof(T))); }
    void deallocate(T* memory, size_t) { memory_->give_back(memory); }
    friend bool operator==(const WaitAllocator&, const WaitAllocator&) = default;

private:
    template <class U>
    friend class WaitAllocator;
    WaitMemory* memory_;
};

class OnAsio {
public:
    static constexpr const char* name = "asio";
    static constexpr unsigned operations = all_operations;
    static constexpr int64_t resolution = microsecond;

    explicit OnAsio(uint32_t count)
        : log_(count), memory_(count), context_(ASIO_CONCURRENCY_HINT_UNSAFE), kick_(context_) {
        timers_.reserve(count);
        for (uint32_t i = 0; i < count; ++i) timers_.emplace_back(context_);
    }

    Log& log() { return log_; }

    // Its turn is in settle(). asio keeps no time of the turn, so it is kept here.
    template <class Body>
    void turn(Body&& body) {
        now_ = Clock::now();
        body();
    }
    void settle() { fire(); }
    void fire() {
        context_.restart();
        context_.poll();
    }
    void run() {
        context_.restart();
        context_.run();
    }
    /// The timerfd has seen nothing of the clock that was moved by hand. A timer that was due long
    /// ago makes asio set it, and is one more that fires.
    void notice() {
        kick_.expires_at(Clock::time_point());
        kick_.async_wait([](const asio::error_code&) {});
    }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < timers_.size(); ++i) start(i, when[i]);
    }
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) start(i, when[i]);
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) timers_[i].cancel();
    }

    void start_idle(int64_t timeout) {
        timeout_ = timeout;
        for (uint32_t i = 0; i < timers_.size(); ++i) start(i, timeout);
    }
    void touch(std::span<const uint32_t> picks) {
        for (const uint32_t i : picks) start(i, timeout_);
    }

private:
    using Clock = std::chrono::steady_clock;
    using Timer = asio::steady_timer::rebind_executor<asio::io_context::executor_type>::other;

    class OnFire {
    public:
        using allocator_type = WaitAllocator<std::byte>;

        OnFire(OnAsio& owner, uint32_t number) : owner_(&owner), number_(number) {}
        void operator()(const asio::error_code& error) const {
            if (!error) owner_->log_.fired(number_);
        }
        allocator_type get_allocator() const noexcept {
            return allocator_type(owner_->memory_[number_]);
        }

    private:
        OnAsio* owner_;
        uint32_t number_;
    };

    // A new deadline cancels the wait for the old one.
    void start(uint32_t i, int64_t ns) {
        timers_[i].expires_at(now_ + std::chrono::nanoseconds(ns));
        timers_[i].async_wait(OnFire(*this, i));
    }

    Log log_;
    std::vector<WaitMemory> memory_;  // outlives the context, which at its end gives back the rest
    asio::io_context context_;
    Timer kick_;
    Clock::time_point now_;
    int64_t timeout_ = 0;
    std::vector<Timer> timers_;
};

}  // namespace bench
