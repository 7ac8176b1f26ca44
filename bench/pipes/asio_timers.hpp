// SPDX-License-Identifier: BSL-1.0
#pragma once
// The idle timers of asio's forms. Setting the expiry cancels the wait before, whose handler is
// called with an error, behind the handlers that are ready by then. asio keeps no time of the turn,
// so it is kept here: a clock that was read is good until such a handler is called, which is about
// a turn. Then deadlines are absolute, and the clock isn't read per event.

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <new>
#include <system_error>
#include <vector>

#include "bench/pipes/ring.hpp"

namespace bench {

using AsioExecutor = asio::io_context::executor_type;

/// The memory of waits that are over, for the next ones ("Custom Memory Allocation" in asio's
/// overview). What asio recycles by itself are two blocks; here each event of a turn takes one
/// before the first is given back.
class AsioWaitMemory {
public:
    AsioWaitMemory() = default;
    AsioWaitMemory(const AsioWaitMemory&) = delete;
    AsioWaitMemory& operator=(const AsioWaitMemory&) = delete;
    ~AsioWaitMemory() {
        for (void* block : free_) ::operator delete(block);
    }

    void* take(size_t bytes) {
        if (bytes > size) return ::operator new(bytes);
        if (free_.empty()) return ::operator new(size);
        void* const block = free_.back();
        free_.pop_back();
        return block;
    }
    void give_back(void* block, size_t bytes) {
        if (bytes > size) return ::operator delete(block);
        free_.push_back(block);
    }

private:
    static constexpr size_t size = 128;
    std::vector<void*> free_;
};

template <class T>
class AsioWaitAllocator {
public:
    using value_type = T;

    explicit AsioWaitAllocator(AsioWaitMemory& memory) : memory_(&memory) {}
    template <class U>
    explicit AsioWaitAllocator(const AsioWaitAllocator<U>& other) : memory_(other.memory_) {}

    T* allocate(size_t count) { return static_cast<T*>(memory_->take(count * sizeof(T))); }
    void deallocate(T* block, size_t count) { memory_->give_back(block, count * sizeof(T)); }
    friend bool operator==(const AsioWaitAllocator&, const AsioWaitAllocator&) = default;

private:
    template <class U>
    friend class AsioWaitAllocator;
    AsioWaitMemory* memory_;
};

/// The context is made before, and the memory before the context, which at its end gives back what
/// it still has.
class AsioIdleTimers {
public:
    AsioIdleTimers(asio::io_context& context, AsioWaitMemory& memory, size_t count)
        : memory_(memory) {
        timers_.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            timers_.emplace_back(context.get_executor());
            start(static_cast<int>(i));
        }
    }
    AsioIdleTimers(const AsioIdleTimers&) = delete;
    AsioIdleTimers& operator=(const AsioIdleTimers&) = delete;

    /// From now on, again.
    void start(int pipe) {
        Timer& timer = timers_[static_cast<size_t>(pipe)];
        timer.expires_at(now() + std::chrono::seconds(idle_seconds));
        timer.async_wait(OnEnd{&memory_, this});
    }

private:
    using Clock = std::chrono::steady_clock;
    using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, AsioExecutor>;

    struct OnEnd {
        using allocator_type = AsioWaitAllocator<std::byte>;

        AsioWaitMemory* memory;
        AsioIdleTimers* owner;

        void operator()(const std::error_code& error) const {
            if (!error) idle_too_long();
            owner->turn_is_over_ = true;
        }
        allocator_type get_allocator() const noexcept { return allocator_type(*memory); }
    };

    Clock::time_point now() {
        if (turn_is_over_) now_ = Clock::now();
        turn_is_over_ = false;
        return now_;
    }

    AsioWaitMemory& memory_;
    std::vector<Timer> timers_;
    Clock::time_point now_;
    bool turn_is_over_ = true;
};

}  // namespace bench
