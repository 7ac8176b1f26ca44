// SPDX-License-Identifier: BSL-1.0
#pragma once
// UdpSocket: datagrams on a loop. They are received in batches, into a buffer of the loop, and
// shown one by one. What is sent within its handlers leaves in one system call when the batch has
// been shown; otherwise send() tries at once. What the kernel doesn't take waits in a bounded
// queue, and beyond that it is dropped and counted: datagrams may be lost, memory may not grow.
//
// A batch that was begun is never lost: when its socket is paused, or a handler throws, it keeps
// the buffer until the rest has been shown.
//
// It refuses to repeat, to order and to fragment. Datagram sockets of Unix work as well.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <rondo/core/array.hpp>
#include <rondo/core/datagram_queue.hpp>
#include <rondo/loop/event_loop.hpp>
#include <rondo/net/udp_options.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

struct DatagramRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool ok =
            CallableWith<std::decay_t<F>, std::span<const std::byte>, const Datagram&>;
        static_assert(ok,
                      "on_datagram is called as f(std::span<const std::byte> bytes, "
                      "const rondo::Datagram& from)");
        return ok;
    }
};

struct UdpErrorRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool ok = CallableWith<std::decay_t<F>, const Error&>;
        static_assert(ok, "on_error is called as f(const rondo::Error& error)");
        return ok;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watch points at it. While it is open it keeps run() going.
/// Lifetime: must not outlive the loop, nor be destroyed by its own handlers (asserted), which may
/// close it.
/// Threads: loop thread.
template <class Loop>
class UdpSocket {
public:
    using M = typename Loop::MemoryPolicy;

    explicit UdpSocket(Loop& loop, const UdpOptions& options = {}) noexcept
        : loop_(loop), options_(options), unsent_(options.unsent_max), again_(loop.timer()) {
        RONDO_ASSERT(options.datagram_max > 0 && options.datagram_max <= 65536,
                     "datagram_max is from 1 to 65536 bytes");
    }
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;
    ~UdpSocket() {
        RONDO_ASSERT(depth_ == 0, "a UdpSocket is destroyed by its own handler: close() it there");
        close();
    }

    // Handlers: set them before the socket is opened. --------------------------------------------

    /// `f(std::span<const std::byte> bytes, const Datagram& from)`: one has come. Without such a
    /// handler nothing is received.
    /// Lifetime: the bytes don't change until it returns.
    template <class F>
    void on_datagram(F&& f) {
        set(on_datagram_, datagram_lost_, static_cast<F&&>(f));
    }
    /// `f(const Error& error)`: what the kernel tells later, such as ECONNREFUSED because an
    /// earlier datagram found nobody. The socket lives on. Without such a handler it is counted.
    template <class F>
    void on_error(F&& f) {
        set(on_error_, error_lost_, static_cast<F&&>(f));
    }

    // Opening and closing ------------------------------------------------------------------------

    /// Opens the socket at this address; port 0 lets the system choose, local() tells which. It
    /// must be closed.
    /// Errors: what the system says, named "bind 127.0.0.1:53"; ENOMEM.
    Result<void> bind(const Endpoint& at, const UdpBindOptions& options = {});
    /// Sends to this peer and hears no other from now on. Opens the socket if it isn't open.
    /// Errors: what the system says, named "connect 127.0.0.1:53"; ENOMEM.
    Result<void> connect(const Endpoint& to);
    /// Takes a datagram socket that is open already, and non-blocking.
    /// Errors: what the poller says of it, ENOMEM; the descriptor is then still the caller's.
    Result<void> adopt(int fd);

    /// Closes the socket; what waits to be sent, or to be shown, is lost. It can be opened again.
    void close() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    /// The descriptor, for more options than there are here; -1 if it isn't open.
    int fd() const noexcept { return fd_; }
    /// Errors: EBADF if it isn't open.
    Result<Endpoint> local() { return sockets().local(fd_); }

    // Sending and receiving ----------------------------------------------------------------------

    /// Sends a copy of `bytes` as one datagram. Success means that it left or waits to leave.
    /// Errors: ENOBUFS: as much as unsent_max waits, it was dropped; EMSGSIZE; ENOMEM; EBADF if the
    /// socket isn't open. Outside of its handlers also what the system says, EHOSTUNREACH or the
    /// ECONNREFUSED of an earlier one; within them on_error is told. To a Unix socket without
    /// connect() also EAGAIN: nothing tells when there is room again, so it can't wait.
    /// Cost: one system call outside of its handlers; within them a share of one.
    Result<void> send(std::span<const std::byte> bytes, const Endpoint& to);
    Result<void> send(std::string_view text, const Endpoint& to) {
        return send(std::as_bytes(std::span(text)), to);
    }
    /// The same to the peer that it is connected to.
    /// Errors: also EDESTADDRREQ or ENOTCONN if there is none.
    Result<void> send(std::span<const std::byte> bytes) { return send(bytes, Endpoint()); }
    Result<void> send(std::string_view text) { return send(text, Endpoint()); }
    /// Sends what waits now, in a handler too, as far as the kernel takes it.
    void flush() {
        Running running(*this);
        write_out();
    }
    /// Datagrams that wait to be sent.
    size_t unsent() const noexcept { return unsent_.size(); }

    /// Shows no more until resume(), not even of the batch that is being shown.
    void pause() noexcept {
        paused_ = true;
        if (depth_ == 0) conclude();
    }
    void resume() noexcept {
        paused_ = false;
        if (depth_ == 0) conclude();
    }
    bool paused() const noexcept { return paused_; }

    // Multicast and broadcast, when it is open ---------------------------------------------------

    /// Receives what is sent to `group`, on the interface with that index (0: the group's own
    /// scope, or the system's choice). Bind to the group's port before.
    /// Errors: EINVAL if it is no group, EADDRINUSE if it was joined before, ENODEV...
    Result<void> join(const Endpoint& group, uint32_t interface = 0) {
        return sockets().join(fd_, group, interface);
    }
    Result<void> leave(const Endpoint& group, uint32_t interface = 0) {
        return sockets().leave(fd_, group, interface);
    }
    /// The same for what `source` sends to the group.
    Result<void> join_source(const Endpoint& group, const Endpoint& source,
                             uint32_t interface = 0) {
        return sockets().join_source(fd_, group, source, interface);
    }
    Result<void> leave_source(const Endpoint& group, const Endpoint& source,
                              uint32_t interface = 0) {
        return sockets().leave_source(fd_, group, source, interface);
    }
    /// How many routers what is sent to a group may pass.
    Result<void> set_multicast_hops(int hops) {
        return sockets().set_multicast_hops(fd_, family_, hops);
    }
    /// Whether this machine hears what is sent to a group.
    Result<void> set_multicast_loop(bool on) {
        return sockets().set_multicast_loop(fd_, family_, on);
    }
    /// Where what is sent to a group leaves.
    Result<void> set_multicast_interface(uint32_t interface) {
        return sockets().set_multicast_interface(fd_, family_, interface);
    }
    /// Allows to send to broadcast addresses (else EACCES).
    Result<void> set_broadcast(bool on) { return sockets().set_broadcast(fd_, on); }

    const UdpOptions& options() const noexcept { return options_; }
    const UdpCounters& counters() const noexcept { return counters_; }

private:
    static constexpr size_t batch_max = 64;
    static constexpr int batches_per_turn = 4;
    using Lease = typename detail::Scratch<M>::Lease;
    using DatagramHandler =
        CheckedHandler<void(std::span<const std::byte>, const Datagram&), detail::DatagramRule, M>;
    using ErrorHandler = CheckedHandler<void(const Error&), detail::UdpErrorRule, M>;

    // While its handlers may be running. What they have left to do is seen to at the end, also if
    // one of them throws.
    struct Running {
        UdpSocket& self;

        explicit Running(UdpSocket& socket) noexcept : self(socket) { ++self.depth_; }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() {
            if (--self.depth_ == 0) self.conclude();
        }
    };

    struct Writing;

    template <class H, class F>
    void set(H& handler, bool& lost, F&& f) {
        RONDO_ASSERT(fd_ < 0 && depth_ == 0, "set the handlers of a UdpSocket before it is opened");
        handler = H(static_cast<F&&>(f));
        lost = !handler;
    }
    auto& sockets() noexcept { return loop_.sockets(); }
    bool wants_read() const noexcept { return fd_ >= 0 && !paused_ && on_datagram_; }

    Result<int> open(const Endpoint& at, const UdpBindOptions& options);
    Result<void> watch(int fd, const char* call);
    void conclude() noexcept;
    void ready(Readiness readiness);
    void continue_later();
    Error failure(int code, const char* call, const Endpoint* peer) const noexcept;
    void report(int code, const char* call, const Endpoint* peer = nullptr);
    void write_out();
    void read_in();
    BatchResult receive();
    void show();
    IoResult send_now(std::span<const std::byte> bytes, const Endpoint& to);
    Result<void> enqueue(std::span<const std::byte> bytes, const Endpoint& to);

    Loop& loop_;
    const UdpOptions options_;
    DatagramHandler on_datagram_;
    ErrorHandler on_error_;
    DatagramQueue<M> unsent_;
    Array<Datagram, M> batch_;
    Lease lease_;       // the bytes of the batch
    size_t shown_ = 0;  // datagrams of the batch
    size_t count_ = 0;  // datagrams in the batch
    typename Loop::Timer again_;
    UdpCounters counters_;
    int fd_ = -1;
    int depth_ = 0;
    uint32_t life_ = 0;  // grows with every close
    Family family_ = Family::none;
    bool paused_ = false;
    bool blocked_ = false;  // until the kernel says that it takes more
    bool writing_ = false;
    bool datagram_lost_ = false;  // memory was out when the handler was set
    bool error_lost_ = false;
};

}  // namespace rondo::inline RONDO_ABI

#include <rondo/net/udp_socket_io.hpp>
