// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on asio: stream descriptors, and lambdas as handlers, whose memory asio recycles. The
// context is told that one thread runs it, and the executor's type is the context's own, which
// saves the type erasure of any_io_executor. asio registers edge-triggered and has no interest to
// switch: a wait is an operation that is started again each time; started in a toggle, it is
// cancelled by its slot, which calls its handler. An idle timer is cancelled and started anew.

#include <array>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "bench/pipes/ring.hpp"

namespace bench {

/// The descriptors as asio sees them. They are given back unclosed.
class AsioDescriptors {
public:
    using Executor = asio::io_context::executor_type;
    using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

    AsioDescriptors(asio::io_context& context, const Ring& ring) {
        descriptors_.reserve(ring.size());
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            descriptors_.emplace_back(context.get_executor(), ring.watched(pipe));
        }
    }
    AsioDescriptors(const AsioDescriptors&) = delete;
    AsioDescriptors& operator=(const AsioDescriptors&) = delete;
    ~AsioDescriptors() {
        for (Descriptor& descriptor : descriptors_) descriptor.release();
    }

    Descriptor& operator[](int pipe) { return descriptors_[static_cast<size_t>(pipe)]; }

private:
    std::vector<Descriptor> descriptors_;
};

/// Ends the benchmark if an operation failed.
inline void check(const std::error_code& error, const char* call) {
    if (!error) return;
    errno = error.value();
    fail(call);
}

/// Waits for readiness (async_wait), and reads by itself.
template <Variant variant>
class OnAsio {
public:
    explicit OnAsio(Ring& ring) : ring_(ring), descriptors_(context_, ring) {
        if constexpr (variant == Variant::timer) timers_.reserve(ring.size());
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            if constexpr (variant == Variant::timer) {
                timers_.emplace_back(context_.get_executor());
                start_timer(pipe);
            }
            wait_readable(pipe);
        }
    }

    void run() {
        context_.restart();
        context_.run();
    }

private:
    using Descriptor = AsioDescriptors::Descriptor;
    using Clock = std::chrono::steady_clock;
    using Timer =
        asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, AsioDescriptors::Executor>;

    void wait_readable(int pipe) {
        descriptors_[pipe].async_wait(Descriptor::wait_read,
                                      [this, pipe](const std::error_code& error) {
                                          check(error, "async_wait");
                                          readable(pipe);
                                      });
    }

    void readable(int pipe) {
        if constexpr (variant == Variant::reply) {
            ring_.take(pipe);
            return wait_writable(pipe);
        }
        if constexpr (variant == Variant::timer) start_timer(pipe);
        if constexpr (variant == Variant::toggle) {
            descriptors_[pipe].async_wait(
                Descriptor::wait_write,
                asio::bind_cancellation_slot(cancel_.slot(), [](const std::error_code&) {}));
            cancel_.emit(asio::cancellation_type::total);
        }
        if (!ring_.pass(pipe)) context_.stop();
        wait_readable(pipe);
    }

    // From here on the descriptor is registered for writing too, so each wait that is started
    // reports that it is writable once more. asio makes nothing of that.
    void wait_writable(int pipe) {
        descriptors_[pipe].async_wait(Descriptor::wait_write,
                                      [this, pipe](const std::error_code& error) {
                                          check(error, "async_wait");
                                          if (!ring_.give(pipe)) context_.stop();
                                          wait_readable(pipe);
                                      });
    }

    // Setting the expiry cancels the wait before, whose handler is called with an error.
    void start_timer(int pipe) {
        Timer& timer = timers_[static_cast<size_t>(pipe)];
        timer.expires_after(std::chrono::seconds(idle_seconds));
        timer.async_wait([](const std::error_code& error) {
            if (!error) idle_too_long();
        });
    }

    Ring& ring_;
    asio::cancellation_signal cancel_;
    asio::io_context context_{1};
    AsioDescriptors descriptors_;
    std::vector<Timer> timers_;
};

/// Lets asio read (async_read_some). Only for the plain variant.
class OnAsioRead {
public:
    explicit OnAsioRead(Ring& ring)
        : ring_(ring), descriptors_(context_, ring), buffers_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) read(pipe);
    }

    void run() {
        context_.restart();
        context_.run();
    }

private:
    void read(int pipe) {
        auto& buffer = buffers_[static_cast<size_t>(pipe)];
        descriptors_[pipe].async_read_some(
            asio::buffer(buffer), [this, pipe](const std::error_code& error, size_t count) {
                check(error, "async_read_some");
                ring_.accept(pipe, buffers_[static_cast<size_t>(pipe)].data(),
                             static_cast<ssize_t>(count));
                if (!ring_.give(pipe)) context_.stop();
                read(pipe);
            });
    }

    Ring& ring_;
    asio::io_context context_{1};
    AsioDescriptors descriptors_;
    std::vector<std::array<char, Ring::read_size>> buffers_;
};

}  // namespace bench
