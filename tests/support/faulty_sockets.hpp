// SPDX-License-Identifier: BSL-1.0
#pragma once
// FaultyPoller<P>: a poller whose socket calls fail, with the errors that the manual pages give
// them. A failed call isn't made. Which ones fail is a plan: the nth, with each of its errors in
// turn, or now and then by a seed.
//
// Options that nothing above the sockets minds, and groups but for join(), pass through.
//
// EAGAIN of reading, writing and accepting is left out: it promises that readiness will tell, which
// a call that wasn't made doesn't. EINTR is repeated below this seam.

#include <errno.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <rondo/backend/poller.hpp>
#include <rondo/sim/random.hpp>

namespace rondo::test {

/// The errors that a call may have; 0 ends the list.
using Documented = std::array<int, 8>;

/// Which calls fail.
class FaultPlan {
public:
    /// None; the calls are counted all the same.
    FaultPlan() = default;
    /// The nth from now on, from 0, with the error at `which` of its list, if there is one.
    static FaultPlan only(size_t nth, size_t which) noexcept {
        FaultPlan plan;
        plan.nth_ = nth;
        plan.which_ = which;
        return plan;
    }
    /// Each with this probability, with any of its errors.
    static FaultPlan some(uint64_t seed, double probability) noexcept {
        FaultPlan plan;
        plan.random_.emplace(seed);
        plan.probability_ = probability;
        return plan;
    }

    size_t calls() const noexcept { return calls_; }
    size_t failed() const noexcept { return failed_; }

    /// What the call is to fail with; 0: it is to be made.
    int next(const Documented& codes) noexcept {
        const size_t count =
            static_cast<size_t>(std::find(codes.begin(), codes.end(), 0) - codes.begin());
        const size_t number = calls_++;
        int code = 0;
        if (random_ && random_->chance(probability_)) code = codes[random_->below(count)];
        if (!random_ && number == nth_ && which_ < count) code = codes[which_];
        if (code == 0) return 0;
        ++failed_;
        return code;
    }

private:
    size_t calls_ = 0, failed_ = 0;
    size_t nth_ = SIZE_MAX, which_ = 0;
    double probability_ = 0;
    std::optional<sim::Random> random_;
};

/// socket(2), bind(2) and so on: what goes wrong without the program's fault, and what a peer or an
/// administrator can cause.
template <class S>
class FaultySockets : public S {
public:
    explicit FaultySockets(S sockets) : S(std::move(sockets)) {}

    FaultPlan plan;

    Result<int> open(Family family, SocketKind kind) {
        if (const int code = plan.next(socket_)) return Error(code, "socket");
        return S::open(family, kind);
    }
    Result<FdPair> pair(SocketKind kind) {
        if (const int code = plan.next(pair_)) return Error(code, "socketpair");
        return S::pair(kind);
    }
    Result<FdPair> pipe() {
        if (const int code = plan.next(pipe_)) return Error(code, "pipe2");
        return S::pipe();
    }
    Result<void> bind(int fd, const Endpoint& at) {
        if (const int code = plan.next(bind_)) return Error(code, "bind", at.text());
        return S::bind(fd, at);
    }
    Result<void> listen(int fd, const Endpoint& at, int backlog) {
        if (const int code = plan.next(listen_)) return Error(code, "listen", at.text());
        return S::listen(fd, at, backlog);
    }
    Result<int> listen_on(const Endpoint& at, const ListenOptions& options) {
        if (const int code = plan.next(listen_on_)) return Error(code, "bind", at.text());
        return S::listen_on(at, options);
    }
    Result<Accepted> accept(int fd) {
        if (const int code = plan.next(accept_)) return Error::on_fd(code, "accept", fd);
        return S::accept(fd);
    }
    Result<void> connect(int fd, const Endpoint& at) {
        if (const int code = plan.next(connect_)) return Error(code, "connect", at.text());
        return S::connect(fd, at);
    }
    Result<int> connect_to(const Endpoint& at, const ConnectOptions& options) {
        if (const int code = plan.next(connect_)) return Error(code, "connect", at.text());
        return S::connect_to(at, options);
    }
    Result<void> shutdown(int fd, Shutdown how) {
        if (const int code = plan.next(shutdown_)) return Error::on_fd(code, "shutdown", fd);
        return S::shutdown(fd, how);
    }
    Result<Endpoint> local(int fd) {
        if (const int code = plan.next(name_)) return Error::on_fd(code, "getsockname", fd);
        return S::local(fd);
    }
    Result<Endpoint> peer(int fd) {
        if (const int code = plan.next(name_)) return Error::on_fd(code, "getpeername", fd);
        return S::peer(fd);
    }
    int error(int fd) noexcept {
        const int code = plan.next(pending_);
        return code != 0 ? code : S::error(fd);
    }

    IoResult read(int fd, std::span<std::byte> in) noexcept {
        if (const int code = plan.next(read_)) return {0, code};
        return S::read(fd, in);
    }
    IoResult write(int fd, std::span<const std::byte> out) noexcept {
        if (const int code = plan.next(write_)) return {0, code};
        return S::write(fd, out);
    }
    IoResult writev(int fd, std::span<const ConstBuffer> parts) noexcept {
        if (const int code = plan.next(write_)) return {0, code};
        return S::writev(fd, parts);
    }
    IoResult send_to(int fd, std::span<const std::byte> out, const Endpoint& to) noexcept {
        if (const int code = plan.next(send_)) return {0, code};
        return S::send_to(fd, out, to);
    }
    IoResult receive_from(int fd, std::span<std::byte> in, Datagram& from) noexcept {
        if (const int code = plan.next(receive_)) return {0, code};
        return S::receive_from(fd, in, from);
    }
    BatchResult receive_batch(int fd, std::span<std::byte> in, size_t slot,
                              std::span<Datagram> out) noexcept {
        if (const int code = plan.next(receive_)) return {0, code};
        return S::receive_batch(fd, in, slot, out);
    }
    BatchResult send_batch(int fd, std::span<const OutDatagram> out) noexcept {
        if (const int code = plan.next(send_)) return {0, code};
        return S::send_batch(fd, out);
    }

    Result<void> set_reuse_address(int fd, bool on) {
        return option(fd, [&] { return S::set_reuse_address(fd, on); });
    }
    Result<void> set_reuse_port(int fd, bool on) {
        return option(fd, [&] { return S::set_reuse_port(fd, on); });
    }
    Result<void> set_v6_only(int fd, bool on) {
        return option(fd, [&] { return S::set_v6_only(fd, on); });
    }
    Result<void> set_no_delay(int fd, bool on) {
        return option(fd, [&] { return S::set_no_delay(fd, on); });
    }
    Result<void> set_keep_alive(int fd, const KeepAlive& keep_alive) {
        return option(fd, [&] { return S::set_keep_alive(fd, keep_alive); });
    }
    Result<void> set_linger_reset(int fd, bool on) {
        return option(fd, [&] { return S::set_linger_reset(fd, on); });
    }
    Result<void> set_non_blocking(int fd, bool on) {
        return option(fd, [&] { return S::set_non_blocking(fd, on); });
    }
    Result<void> set_broadcast(int fd, bool on) {
        return option(fd, [&] { return S::set_broadcast(fd, on); });
    }
    Result<bool> listens(int fd) {
        if (const int code = plan.next(option_)) return Error::on_fd(code, "getsockopt", fd);
        return S::listens(fd);
    }
    Result<void> join(int fd, const Endpoint& group, uint32_t interface) {
        if (const int code = plan.next(join_)) return Error(code, "join", group.text());
        return S::join(fd, group, interface);
    }

private:
    Result<void> option(int fd, auto call) {
        if (const int code = plan.next(option_)) return Error::on_fd(code, "setsockopt", fd);
        return call();
    }

    static constexpr Documented socket_{EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT};
    static constexpr Documented pair_{EMFILE, ENFILE, EOPNOTSUPP};
    static constexpr Documented pipe_{EMFILE, ENFILE};
    static constexpr Documented bind_{EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM};
    static constexpr Documented listen_{EADDRINUSE};
    static constexpr Documented listen_on_{EMFILE,        ENOBUFS, EADDRINUSE,
                                           EADDRNOTAVAIL, EACCES,  EAFNOSUPPORT};
    static constexpr Documented accept_{EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
    static constexpr Documented connect_{ECONNREFUSED,  ENETUNREACH, EHOSTUNREACH, ETIMEDOUT,
                                         EADDRNOTAVAIL, EMFILE,      EPERM};
    static constexpr Documented shutdown_{ENOTCONN, ENOBUFS};
    static constexpr Documented name_{ENOBUFS, ENOTCONN};
    static constexpr Documented pending_{ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    static constexpr Documented read_{ECONNRESET, ETIMEDOUT, EIO, ENOMEM};
    static constexpr Documented write_{EPIPE, ECONNRESET, ETIMEDOUT, ENOBUFS, ENOMEM};
    static constexpr Documented send_{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOBUFS,
                                      ENOMEM,       EPERM,        EMSGSIZE};
    static constexpr Documented receive_{ECONNREFUSED, EHOSTUNREACH, ENOMEM};
    static constexpr Documented option_{ENOPROTOOPT, ENOMEM, ENOBUFS, EINVAL};
    static constexpr Documented join_{ENODEV, ENOBUFS, ENOMEM, EADDRINUSE};
};

template <Poller P>
class FaultyPoller : public P {
public:
    using Sockets = FaultySockets<typename P::Sockets>;

    static Result<FaultyPoller> open() noexcept {
        auto poller = P::open();
        if (!poller) return poller.error();
        return FaultyPoller(std::move(*poller));
    }
    Sockets& sockets() noexcept { return sockets_; }

private:
    explicit FaultyPoller(P poller) noexcept : P(std::move(poller)), sockets_(P::sockets()) {}

    Sockets sockets_;
};

}  // namespace rondo::test
