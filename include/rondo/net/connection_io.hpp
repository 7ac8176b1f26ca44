// SPDX-License-Identifier: BSL-1.0
#pragma once
// How a connection reads and ends, and what holds its handlers together.
//
// Whatever calls it, an event, the group's service or a timer, goes through work() or a Running and
// ends in conclude(): handlers only leave notes (bytes in the queue, flags), and what follows from
// them is done when they have returned. So a handler may do anything to its own connection.

#include <errno.h>

#include <rondo/net/connections.hpp>

namespace rondo::inline RONDO_ABI {

/// While one of its handlers may be running. If that throws, the service goes on where it stopped.
template <class Loop, class State, class T>
struct Connection<Loop, State, T>::Running {
    Connection& self;
    bool returned = false;

    explicit Running(Connection& connection) noexcept : self(connection) {
        ++self.depth_;
        ++self.group_.running_;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
        --self.depth_;
        --self.group_.running_;
        if (!returned) self.group_.enlist(self);
    }
};

/// While on_data looks at bytes. Those of them that it sends need not be copied, those that it
/// doesn't use are kept. What it leaves when it throws is shown again.
template <class Loop, class State, class T>
struct Connection<Loop, State, T>::Shown {
    Connection& self;
    const std::span<const std::byte> bytes;
    const bool kept;  // they are in rest_
    bool returned = false;

    explicit Shown(Connection& connection, std::span<const std::byte> fresh) noexcept
        : self(connection),
          bytes(connection.rest_.empty() ? fresh : connection.rest_.data()),
          kept(!connection.rest_.empty()) {
        self.shown_ = bytes;
        self.used_ = bytes.size();
        self.replied_ = false;
    }
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;
    ~Shown() {
        self.shown_ = {};
        self.keep_borrowed();
        const size_t used = self.used_;
        if (kept) {
            self.rest_.consume(used);
        } else if (used < bytes.size() && !self.rest_.append(bytes.subspan(used))) {
            self.die(ENOMEM, "read");
        }
        self.show_again_ |= !returned && used < bytes.size();
    }
};

template <class Loop, class State, class T>
Connection<Loop, State, T>::Connection(Group& group, int fd, const T& transport)
    : group_(group), fd_(fd), transport_(transport), state_() {
    counters_.last_received = counters_.last_sent = read_since_ = group.loop_.now();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::opened() {
    {
        Running running(*this);
        if (group_.open_) group_.open_(*this);
        write_out();
        mark();
        running.returned = true;
    }
    conclude();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::ready(Readiness readiness) {
    constexpr Readiness over = Readiness::read_closed | Readiness::hangup | Readiness::error;
    constexpr Readiness in = Readiness::readable | Readiness::priority;
    if (any(readiness, in | over)) can_ |= Interest::read;
    if (any(readiness, Readiness::writable | Readiness::hangup | Readiness::error)) {
        can_ |= Interest::write;
    }
    if (any(readiness, over | Readiness::priority)) reads_on_ = true;
    work();
}

// In a nested turn: what runs already looks at the flags again when its handler returns.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::work() {
    if (depth_ != 0) return;
    if (!dead_) {
        Running running(*this);
        write_out();
        tell_drained();
        const bool again = std::exchange(show_again_, false) && !rest_.empty();
        if (again && wants_read() && !closing_) show({});
        read_in();
        running.returned = true;
    }
    conclude();
}

// The connection may be gone afterwards.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::conclude() {
    if (dead_) return group_.bury(*this);
    watch_for();
    set_timer();
}

// Edge-triggered, interest changes once at most; otherwise it follows what is wanted. What could be
// done already, because a nested turn was told so, is due.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::watch_for() {
    Interest wanted = Interest::none;
    if (wants_read()) wanted |= transport_.read_needs();
    if (unsent() != 0 || (ending_ && !write_ended_)) wanted |= transport_.write_needs();
    const bool due = drained_ || (show_again_ && wants_read());
    if (due || any(wanted, can_)) group_.enlist(*this);
    if constexpr (edge) {
        const bool blocked = any(wanted, Interest::write) && !any(can_, Interest::write);
        if (!blocked || joined_) return;
        joined_ = true;
        loop().modify(fd_, read_interest | Interest::write);
    } else {
        loop().modify(fd_, wanted);
    }
}

// Reading -----------------------------------------------------------------------------------------

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::wants_read() const noexcept {
    if (dead_ || read_ended_) return false;
    if (closing_ || broken_ != 0) return true;
    return !paused_ && !choked_;
}

// A read that fills less than it was given has emptied a TCP socket, and the next bytes are a new
// edge (epoll(7), question 9). Not so if the end or urgent data, at which a read stops, was told of
// together with the bytes; nor of other streams: a terminal gives line by line, a Unix socket stops
// at descriptors that are passed along. They are read until there is nothing, as is one that can't
// write any more. What on_data has left and is to be shown again comes before the next read, which
// may be the end. What is open for writing only can't be read: the write end of a pipe is woken
// when its reader has gone, but a terminal by what is typed, so that must be open for both.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::read_in() {
    for (int i = 0; wants_read() && !show_again_ && any(can_, transport_.read_needs()); ++i) {
        if (i == reads_per_turn) return group_.enlist(*this);
        const typename detail::Scratch<M>::Lease lease(loop().scratch());
        const auto buffer = lease.span();
        if (buffer.empty()) return die(ENOMEM, "read");
        const IoResult got = transport_.read(sockets(), fd_, buffer);
        if (got.would_block()) {
            can_ &= ~transport_.read_needs();
            if (broken_ != 0) die(broken_, "write");
            return;
        }
        if (got.code == EBADF) return die(EPIPE, "write");
        if (!got) return die(got.code, "read");
        if (got.bytes == 0) return read_ended();
        const bool drained = T::short_reads_drain && got.bytes < buffer.size();
        if (drained && !reads_on_ && broken_ == 0) can_ &= ~Interest::read;
        counters_.received += got.bytes;
        counters_.last_received = read_since_ = loop().now();
        if (!closing_) show(buffer.first(got.bytes));
        tell_drained();
    }
}

// Only what on_data has sent stops the reading: if both sides stopped for what else they send, each
// could wait for the other to read.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::show(std::span<const std::byte> fresh) {
    if (!rest_.empty() && !rest_.append(fresh)) return die(ENOMEM, "read");
    bool waits = false;
    {
        Shown shown(*this, fresh);
        if (group_.data_) used_ = group_.data_(*this, shown.bytes);
        RONDO_ASSERT(used_ <= shown.bytes.size(), "on_data has used more bytes than it was shown");
        shown.returned = true;
        const bool left = full_ && used_ < shown.bytes.size();
        waits = replied_ && options().pause_if_full && (left || unsent() > options().high_water);
        write_out();
    }
    mark();
    choked_ |= waits && full_;
    if (rest_.size() > options().unconsumed_max) die(EMSGSIZE, "read");
}

// Before the next bytes. While on_data is still looking at them, what it will leave isn't known.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::show_what_is_left() noexcept {
    show_again_ |= !rest_.empty() || !shown_.empty();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::read_ended() {
    read_ended_ = true;
    if (broken_ != 0) return die(broken_, "write");
    if (write_ended_) return die(0, "close");
    if (!closing_ && group_.end_) {
        group_.end_(*this);
    } else {
        close();
    }
    write_out();
    mark();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::pause() noexcept {
    paused_ = true;
    if (dead_) return;
    if (broken_ != 0) return die(broken_, "write");
    if (depth_ == 0) watch_for();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::resume() noexcept {
    if (dead_ || !std::exchange(paused_, false)) return;
    read_since_ = loop().now();
    show_what_is_left();
    group_.enlist(*this);
}

// Ending ------------------------------------------------------------------------------------------

template <class Loop, class State, class T>
void Connection<Loop, State, T>::end() {
    if (!can_send()) return;
    ending_ = true;
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::close() {
    if (dead_ || std::exchange(closing_, true)) return;
    if (broken_ != 0) return die(broken_, "write");
    ending_ = true;
    close_at_ = loop().now() + options().close_timeout;
    if (write_ended_ && read_ended_) return die(0, "close");
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::abort(int reason) {
    if (dead_) return;
    static_cast<void>(sockets().set_linger_reset(fd_, true));
    die(reason, "abort");
}

// The descriptor goes at once; on_close comes when no handler of it is running. A peer that doesn't
// get all that was sent must not take it for all.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::die(int code, const char* call) noexcept {
    if (std::exchange(dead_, true)) return;
    end_code_ = code;
    end_call_ = call;
    if (unsent() != 0 || code == ENOMEM) static_cast<void>(sockets().set_linger_reset(fd_, true));
    loop().close(fd_);
    loop().cancel(std::exchange(timer_, {}));
    queue_.clear(group_.pool_);
    borrowed_ = {};
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
Error Connection<Loop, State, T>::reason() const noexcept {
    return end_code_ == 0 ? Error() : Error::on_fd(end_code_, end_call_, fd_);
}

// Time --------------------------------------------------------------------------------------------

// One timer for all that has a limit. Activity only notes the time; the timer looks when it fires
// whether its time has really come.
template <class Loop, class State, class T>
Instant Connection<Loop, State, T>::deadline(const char*& call) const noexcept {
    Instant least = close_at_;
    call = "close";
    const auto limit = [&](Instant at, const char* name) {
        if (at >= least) return;
        least = at;
        call = name;
    };
    if (unsent() != 0) limit(write_since_ + options().write_timeout, "write");
    if (closing_) return least;
    if (wants_read()) limit(read_since_ + options().read_timeout, "read");
    const Instant last = counters_.last_received > counters_.last_sent ? counters_.last_received
                                                                       : counters_.last_sent;
    limit(last + options().idle_timeout, "idle");
    return least;
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::set_timer() {
    if (!group_.timed_ && !closing_) return;
    if (unsent() != 0 && write_since_ == Instant::max()) write_since_ = loop().now();
    const char* call = nullptr;
    const Instant at = deadline(call);
    if (at == Instant::max() || (timer_ && at >= timer_at_)) return;
    timer_at_ = at;
    if (timer_) {
        loop().rearm(timer_, at);
        return;
    }
    timer_ = loop().at(at, [this] { expired(); });
    if (!timer_) return die(ENOMEM, "timer");
    loop().background(timer_, true);  // the descriptor keeps run() going, or doesn't
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::expired() {
    const char* call = nullptr;
    timer_at_ = deadline(call);
    if (timer_at_ > loop().now()) {
        if (timer_at_ == Instant::max()) timer_ = {};
        if (timer_) loop().rearm(timer_, timer_at_);
        return;
    }
    if (closing_) static_cast<void>(sockets().set_linger_reset(fd_, true));
    die(ETIMEDOUT, call);
}

}  // namespace rondo::inline RONDO_ABI
