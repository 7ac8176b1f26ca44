// SPDX-License-Identifier: BSL-1.0
#pragma once
// How a connection writes: what is sent goes behind the queue, and leaves in as few system calls as
// can be. Bytes that on_data sends of those that it looks at are borrowed: they leave from where
// they are, and are copied into the queue only if the kernel does not take them before it returns.

#include <errno.h>

#include <rondo/net/connections.hpp>

namespace rondo::inline RONDO_ABI {

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::send(std::span<const std::byte> bytes) {
    if (!can_send()) return false;
    if (bytes.empty()) return true;
    const bool own = bytes.data() >= shown_.data() &&
                     bytes.data() + bytes.size() <= shown_.data() + shown_.size();
    if (own && borrowed_.empty()) {
        borrowed_ = bytes;
    } else if (own && borrowed_.data() + borrowed_.size() == bytes.data()) {
        borrowed_ = {borrowed_.data(), borrowed_.size() + bytes.size()};
    } else if (depth_ == 0 && unsent() == 0 && any(can_, transport_.write_needs())) {
        borrowed_ = bytes;
        write_out();
        keep_borrowed();
    } else if (!enqueue(bytes)) {
        return false;
    }
    return sent();
}

template <class Loop, class State, class T>
template <OwnsBytes Owner>
bool Connection<Loop, State, T>::send(Owner&& owner) {
    const auto& view = std::as_const(owner);
    const auto bytes = std::as_bytes(std::span(view.data(), static_cast<size_t>(view.size())));
    if (bytes.size() < copied_below) return send(bytes);
    if (!can_send()) return false;
    keep_borrowed();
    if (!queue_.append_owned(static_cast<Owner&&>(owner))) {
        die(ENOMEM, "send");
        return false;
    }
    if (depth_ == 0) write_out();
    return sent();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::send_parts(
    std::initializer_list<std::span<const std::byte>> parts) {
    if (!can_send()) return false;
    for (const auto& part : parts) {
        const bool last = &part == parts.end() - 1;
        if (last && depth_ == 0 && borrowed_.empty() && any(can_, transport_.write_needs())) {
            borrowed_ = part;
            write_out();
            keep_borrowed();
        } else if (!enqueue(part)) {
            return false;
        }
    }
    return sent();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::sent() {
    replied_ |= !shown_.empty();
    settle();
    return can_send();
}

// What follows from bytes that were queued. Outside of the handlers nobody else looks after it.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::settle() {
    mark();
    if (depth_ == 0 && !dead_) {
        watch_for();
        set_timer();
    }
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::flush() {
    if (dead_) return;
    write_out();
    keep_borrowed();
    settle();
}

// Behind the queue go the borrowed bytes, from where they are.
template <class Loop, class State, class T>
IoResult Connection<Loop, State, T>::write_queue(const ConstBuffer& behind, size_t& asked) {
    ConstBuffer parts[parts_max];
    size_t count = queue_.gather({parts, parts_max});
    if (count < parts_max && behind.size != 0) parts[count++] = behind;
    asked = 0;
    for (size_t i = 0; i < count; ++i) asked += parts[i].size;
    return transport_.write(sockets(), fd_, {parts, count});
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::write_out() {
    if (dead_) return;
    while (unsent() != 0 && any(can_, transport_.write_needs())) {
        const ConstBuffer part{borrowed_.data(), borrowed_.size()};
        size_t asked = part.size;
        const IoResult wrote = queue_.empty() ? transport_.write(sockets(), fd_, {&part, 1})
                                              : write_queue(part, asked);
        if (wrote.would_block()) {
            can_ &= ~transport_.write_needs();
            break;
        }
        if (!wrote) return broken(wrote.code);
        counters_.sent += wrote.bytes;
        counters_.last_sent = loop().now();
        write_since_ = Instant::max();
        const size_t queued = wrote.bytes < queue_.size() ? wrote.bytes : queue_.size();
        borrowed_ = borrowed_.subspan(wrote.bytes - queued);
        if (wrote.bytes < asked && T::short_reads_drain) can_ &= ~Interest::write;
        queue_.consume(group_.pool_, queued);  // last: the end of an owner may send, or abort
    }
    if (full_ && unsent() <= options().low_water) {
        if (choked_) read_since_ = loop().now();
        full_ = choked_ = false;
        drained_ = true;
        show_what_is_left();
    }
    if (ending_ && unsent() == 0) finish_writing();
}

// Once: a handler that fills what the kernel takes at once would keep the others waiting.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::tell_drained() {
    if (dead_ || !std::exchange(drained_, false)) return;
    if (group_.drain_) group_.drain_(*this);
    write_out();
    mark();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::enqueue(std::span<const std::byte> bytes) {
    keep_borrowed();
    if (!dead_ && queue_.append(group_.pool_, bytes)) return true;
    die(ENOMEM, "send");
    return false;
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::keep_borrowed() {
    const auto bytes = std::exchange(borrowed_, {});
    if (bytes.empty() || dead_) return;
    if (!queue_.append(group_.pool_, bytes)) die(ENOMEM, "send");
}

// The marks. In a handler the kernel is asked first: it may take more than there seems to be.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::mark() {
    if (depth_ != 0 && unsent() > options().high_water) write_out();
    if (dead_ || unsent() <= options().high_water) return;
    full_ = true;
    drained_ = false;
    if (options().unsent_max != 0 && unsent() > options().unsent_max) die(ENOBUFS, "send");
}

// The peer reads no longer, but what it sent before may still be there: it is read to its end.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::broken(int code) {
    broken_ = code;  // first: the end of an owner may try to send
    borrowed_ = {};
    full_ = choked_ = drained_ = false;
    queue_.clear(group_.pool_);
    if (paused_ || read_ended_ || closing_) return die(code, "write");
    can_ |= Interest::read;
    show_what_is_left();
    group_.enlist(*this);
}

// What isn't a socket can't be closed by half: its peer is told by the end. A socket that fails
// here was reset (ENOTCONN, and the socket may know why), or is broken in another way.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::finish_writing() {
    if (write_ended_ || dead_ || broken_ != 0) return;
    const IoResult done = transport_.finish(sockets(), fd_);
    if (done.would_block()) {
        can_ &= ~transport_.write_needs();
        return;
    }
    write_ended_ = true;
    if (!done && done.code != ENOTSOCK) {
        const int why = done.code == ENOTCONN ? sockets().error(fd_) : 0;
        return broken(why != 0 ? why : done.code);
    }
    if (read_ended_ || !done) die(0, "close");
}

}  // namespace rondo::inline RONDO_ABI
