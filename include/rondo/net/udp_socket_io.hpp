// SPDX-License-Identifier: BSL-1.0
#pragma once
// How a UdpSocket opens, reads, writes and closes.
//
// Handlers only leave notes: datagrams in the queue, a flag, a closed descriptor. Every call that
// can lead to one is inside a Running, whose end, conclude(), asks the loop for what is left to do.
// After each handler the code looks at the socket anew; `life_` tells whether it is still the one
// that the batch came from.

#include <rondo/net/udp_socket.hpp>

namespace rondo::inline RONDO_ABI {

// Opening and closing -----------------------------------------------------------------------------

template <class Loop>
Result<int> UdpSocket<Loop>::open(const Endpoint& at, const UdpBindOptions& options) {
    auto fd = sockets().open(at.family(), SocketKind::datagram);
    if (!fd || !at.is_ip()) return fd;
    Result<void> done;
    if (options.reuse_port) done = sockets().set_reuse_port(*fd, true);
    if (done && options.reuse_address) done = sockets().set_reuse_address(*fd, true);
    if (done && at.family() == Family::ipv6) {
        done = sockets().set_v6_only(*fd, !options.dual_stack);
    }
    if (done) return fd;
    sockets().close(*fd);
    return done.error();
}

template <class Loop>
Result<void> UdpSocket<Loop>::bind(const Endpoint& at, const UdpBindOptions& options) {
    RONDO_ASSERT(fd_ < 0, "bind: this UdpSocket is open already; close it first");
    const auto fd = open(at, options);
    if (!fd) return Error(fd.error().code(), "bind", at.text());
    Result<void> done = sockets().bind(*fd, at);
    if (done) done = watch(*fd, "bind");
    if (done) {
        family_ = at.family();
        return {};
    }
    sockets().close(*fd);
    return Error(done.error().code(), "bind", at.text());
}

template <class Loop>
Result<void> UdpSocket<Loop>::connect(const Endpoint& to) {
    if (fd_ >= 0) return sockets().connect(fd_, to);
    const auto fd = open(to, {});
    if (!fd) return Error(fd.error().code(), "connect", to.text());
    Result<void> done = sockets().connect(*fd, to);
    if (done) done = watch(*fd, "connect");
    if (done) {
        family_ = to.family();
        return {};
    }
    sockets().close(*fd);
    return Error(done.error().code(), "connect", to.text());
}

template <class Loop>
Result<void> UdpSocket<Loop>::adopt(int fd) {
    RONDO_ASSERT(fd_ < 0, "adopt: this UdpSocket is open already; close it first");
    const auto at = sockets().local(fd);
    if (!at) return Error::on_fd(at.error().code(), "adopt", fd);
    if (auto watched = watch(fd, "adopt"); !watched) return watched;
    family_ = at->family();
    return {};
}

// The timer is made beforehand, to run never: going on later must not need any memory.
template <class Loop>
Result<void> UdpSocket<Loop>::watch(int fd, const char* call) {
    const size_t fitting = detail::Scratch<M>::bytes / options_.datagram_max;
    if (datagram_lost_ || error_lost_ ||
        !batch_.resize(fitting < batch_max ? fitting : batch_max)) {
        return Error::on_fd(ENOMEM, call, fd);
    }
    if (!again_.id()) {
        if (!again_.at(Instant::max(), [this] { continue_later(); })) {
            return Error::on_fd(ENOMEM, call, fd);
        }
        loop_.background(again_.id(), true);
    }
    const Interest wanted = !paused_ && on_datagram_ ? Interest::read : Interest::none;
    const auto added = loop_.add(fd, wanted, [this](Readiness readiness) { ready(readiness); });
    if (!added) return Error::on_fd(added.error().code(), call, fd);
    fd_ = fd;
    return {};
}

template <class Loop>
void UdpSocket<Loop>::close() noexcept {
    if (fd_ < 0) return;
    ++life_;
    loop_.close(std::exchange(fd_, -1));
    unsent_.clear();
    blocked_ = false;
    shown_ = count_ = 0;
    if (depth_ == 0) lease_ = {};  // else a handler may be looking at it
    again_.rearm(Instant::max());
}

// What runs next ----------------------------------------------------------------------------------

// The rest of a batch comes with no event: the kernel doesn't have it any more.
template <class Loop>
void UdpSocket<Loop>::conclude() noexcept {
    if (shown_ == count_) lease_ = {};
    if (fd_ < 0) return;
    Interest wanted = Interest::none;
    if (wants_read()) wanted |= Interest::read;
    if (!unsent_.empty()) wanted |= Interest::write;
    loop_.modify(fd_, wanted);
    if (shown_ < count_ && wants_read()) again_.rearm(loop_.now());
}

template <class Loop>
void UdpSocket<Loop>::continue_later() {
    again_.rearm(Instant::max());
    if (depth_ != 0) return;
    Running running(*this);
    show();
    write_out();
}

// An error that isn't read would be reported for ever.
template <class Loop>
void UdpSocket<Loop>::ready(Readiness readiness) {
    constexpr Readiness over = Readiness::hangup | Readiness::error;
    if (depth_ != 0) return;
    Running running(*this);
    if (any(readiness, Readiness::writable | over)) blocked_ = false;
    if (any(readiness, over) && !wants_read()) {
        if (const int code = sockets().error(fd_)) report(code, "receive");
    }
    write_out();
    read_in();
}

template <class Loop>
Error UdpSocket<Loop>::failure(int code, const char* call, const Endpoint* peer) const noexcept {
    if (peer != nullptr && *peer) return Error(code, call, peer->text());
    return Error::on_fd(code, call, fd_);
}

template <class Loop>
void UdpSocket<Loop>::report(int code, const char* call, const Endpoint* peer) {
    ++counters_.errors;
    if (on_error_) on_error_(failure(code, call, peer));
}

// Sending -----------------------------------------------------------------------------------------

// Readiness doesn't tell when the receiver of a Unix socket that isn't connected has room: what is
// sent to a name isn't waited for.
template <class Loop>
Result<void> UdpSocket<Loop>::send(std::span<const std::byte> bytes, const Endpoint& to) {
    if (fd_ < 0) return failure(EBADF, "send", &to);
    if (depth_ != 0 || !unsent_.empty()) return enqueue(bytes, to);
    const IoResult sent = send_now(bytes, to);
    if (sent) return {};
    if (sent.would_block() && to.family() != Family::unix_path) {
        auto queued = enqueue(bytes, to);
        blocked_ = static_cast<bool>(queued);
        conclude();
        return queued;
    }
    ++counters_.errors;
    return failure(sent.code, "send", &to);
}

template <class Loop>
IoResult UdpSocket<Loop>::send_now(std::span<const std::byte> bytes, const Endpoint& to) {
    const IoResult sent = sockets().send_to(fd_, bytes, to);
    ++counters_.send_calls;
    if (sent) ++counters_.sent;
    return sent;
}

template <class Loop>
Result<void> UdpSocket<Loop>::enqueue(std::span<const std::byte> bytes, const Endpoint& to) {
    if (bytes.size() > UINT16_MAX) return failure(EMSGSIZE, "send", &to);
    int code = unsent_.push(bytes, to);
    if (code == ENOBUFS && depth_ != 0 && !blocked_) {
        write_out();  // the kernel may take them now
        if (fd_ < 0) return failure(EBADF, "send", &to);
        code = unsent_.push(bytes, to);
        if (code == ENOBUFS && !blocked_ && unsent_.empty()) {  // it is larger than the queue
            const IoResult sent = send_now(bytes, to);
            if (sent) return {};
            if (!sent.would_block()) code = sent.code;
        }
    }
    if (code == 0) return {};
    ++counters_.dropped;
    return failure(code, "send", &to);
}

template <class Loop>
struct UdpSocket<Loop>::Writing {
    bool& now;

    explicit Writing(bool& flag) noexcept : now(flag) { now = true; }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing() { now = false; }
};

// At most what was there when it began: on_error may send again, and flush.
template <class Loop>
void UdpSocket<Loop>::write_out() {
    if (writing_ || unsent_.empty()) return;
    const Writing writing(writing_);
    const uint32_t life = life_;
    size_t left = unsent_.size();
    while (left != 0 && !blocked_ && life == life_) {
        OutDatagram batch[batch_max];
        const size_t count = unsent_.gather({batch, left < batch_max ? left : batch_max});
        const BatchResult sent = sockets().send_batch(fd_, {batch, count});
        ++counters_.send_calls;
        counters_.sent += sent.count;
        if (sent.code == 0) {
            unsent_.pop(sent.count);
            left -= sent.count;
            continue;
        }
        const Endpoint to = *batch[sent.count].to;
        if (sent.would_block() && to.family() != Family::unix_path) {
            unsent_.pop(sent.count);
            blocked_ = true;
            return;
        }
        unsent_.pop(sent.count + 1);
        left -= sent.count + 1;
        ++counters_.dropped;
        report(sent.code, "send", &to);
    }
}

// Receiving ---------------------------------------------------------------------------------------

template <class Loop>
void UdpSocket<Loop>::read_in() {
    const uint32_t life = life_;
    show();
    write_out();
    for (int i = 0; i < batches_per_turn && wants_read() && life == life_; ++i) {
        if (shown_ < count_) return;  // it was paused there, and on_error has resumed it
        const BatchResult got = receive();
        show();
        if (life == life_ && got.code != 0 && !got.would_block()) report(got.code, "receive");
        write_out();
        if (got.count < batch_.size()) return;
    }
}

// Without memory for a buffer the first datagram is lost, so that its readiness doesn't spin.
template <class Loop>
BatchResult UdpSocket<Loop>::receive() {
    if (lease_.span().empty()) lease_ = Lease(loop_.scratch());
    const auto room = lease_.span();
    ++counters_.receive_calls;
    if (room.empty()) {
        std::byte none[1];
        Datagram lost;
        const IoResult got = sockets().receive_from(fd_, none, lost);
        return {0, got ? ENOMEM : got.code};
    }
    const BatchResult got =
        sockets().receive_batch(fd_, room, options_.datagram_max, {batch_.data(), batch_.size()});
    shown_ = 0;
    count_ = got.count;
    return got;
}

template <class Loop>
void UdpSocket<Loop>::show() {
    while (shown_ < count_ && wants_read()) {
        const Datagram& datagram = batch_[shown_];
        const auto bytes = lease_.span().subspan(shown_ * options_.datagram_max, datagram.bytes);
        ++shown_;
        ++counters_.received;
        if (datagram.truncated) ++counters_.truncated;
        on_datagram_(bytes, datagram);
    }
}

}  // namespace rondo::inline RONDO_ABI
