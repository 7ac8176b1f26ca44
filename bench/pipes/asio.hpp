// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on asio in two forms: it waits for readiness, and it reads. Both are as lean as its
// documentation allows: no locks (ASIO_CONCURRENCY_HINT_UNSAFE), the context's own executor instead
// of the type-erased any_io_executor, and handlers whose memory is recycled, by asio or by us.
//
// asio registers a descriptor once, edge-triggered. Each async_wait() registers it anew, one
// epoll_ctl(MOD), because the edge may be over; async_read_some() does that never, but on pipes
// tries to read as soon as it is called, which here is too early each time. There is no interest to
// switch: what is waited for is an operation that is started again each time. So asio takes no part
// in the toggle.

#include <array>
#include <asio/basic_stream_socket.hpp>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <system_error>
#include <type_traits>

#include "bench/pipes/asio_timers.hpp"
#include "bench/pipes/ring.hpp"

namespace bench {

using AsioDescriptor = asio::posix::basic_stream_descriptor<AsioExecutor>;
using AsioSocket = asio::basic_stream_socket<asio::local::stream_protocol, AsioExecutor>;

/// The descriptors as asio sees them. They are given back unclosed.
template <class Descriptor>
class AsioDescriptors {
public:
    AsioDescriptors(asio::io_context& context, const Ring& ring) {
        descriptors_.reserve(ring.size());
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            if constexpr (std::is_same_v<Descriptor, AsioSocket>) {
                descriptors_.emplace_back(context.get_executor(), asio::local::stream_protocol(),
                                          ring.watched(pipe));
            } else {
                descriptors_.emplace_back(context.get_executor(), ring.watched(pipe));
            }
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
    explicit OnAsio(Ring& ring)
        : ring_(ring),
          descriptors_(context_, ring),
          timers_(context_, memory_, variant == Variant::timer ? ring.size() : 0) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) wait_readable(pipe);
    }

    void run() {
        context_.restart();
        context_.run();
    }

private:
    void wait_readable(int pipe) {
        descriptors_[pipe].async_wait(AsioDescriptor::wait_read,
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
        if constexpr (variant == Variant::timer) timers_.start(pipe);
        if (!ring_.pass(pipe)) context_.stop();
        wait_readable(pipe);
    }

    // From here on the descriptor is registered for writing too, so each wait that is started
    // reports that it is writable once more. asio makes nothing of that.
    void wait_writable(int pipe) {
        descriptors_[pipe].async_wait(AsioDescriptor::wait_write,
                                      [this, pipe](const std::error_code& error) {
                                          check(error, "async_wait");
                                          if (!ring_.give(pipe)) context_.stop();
                                          wait_readable(pipe);
                                      });
    }

    Ring& ring_;
    AsioWaitMemory memory_;
    asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
    AsioDescriptors<AsioDescriptor> descriptors_;
    AsioIdleTimers timers_;
};

/// Lets asio read (async_read_some). A reply is given at once: asio's writes wait for room only
/// when they found none. Its descriptors are sockets, and asio has sockets of its own, which note
/// that a read found less than it asked for, and don't try the next one too early.
template <Variant variant>
class OnAsioRead {
public:
    explicit OnAsioRead(Ring& ring)
        : ring_(ring),
          descriptors_(context_, ring),
          timers_(context_, memory_, variant == Variant::timer ? ring.size() : 0),
          buffers_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) read(pipe);
    }

    void run() {
        context_.restart();
        context_.run();
    }

private:
    using Descriptor = std::conditional_t<variant == Variant::reply, AsioSocket, AsioDescriptor>;

    void read(int pipe) {
        auto& buffer = buffers_[static_cast<size_t>(pipe)];
        descriptors_[pipe].async_read_some(
            asio::buffer(buffer), [this, pipe](const std::error_code& error, size_t count) {
                check(error, "async_read_some");
                if constexpr (variant == Variant::timer) timers_.start(pipe);
                ring_.accept(pipe, buffers_[static_cast<size_t>(pipe)].data(),
                             static_cast<ssize_t>(count));
                if (!ring_.give(pipe)) context_.stop();
                read(pipe);
            });
    }

    Ring& ring_;
    AsioWaitMemory memory_;
    asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
    AsioDescriptors<Descriptor> descriptors_;
    AsioIdleTimers timers_;
    std::vector<std::array<char, Ring::read_size>> buffers_;
};

}  // namespace bench
