// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a descriptor of a ManualWorld can be: the ends of streams and pipes, datagram sockets,
// listeners, and descriptors whose readiness a test writes down. Each knows its state (for
// level-triggered interest) and counts its changes (for edge-triggered interest).
//
// Streams close, half-close and reset as Linux's TCP does (`tcp`), or as its Unix sockets do.

#include <errno.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/io_result.hpp>
#include <rondo/core/socket_types.hpp>

namespace rondo::test {

constexpr Readiness every_readiness = static_cast<Readiness>(0x3f);

/// What a descriptor number stands for.
class Object {
public:
    Object() = default;
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    virtual ~Object() = default;

    virtual Readiness state() const = 0;
    virtual IoResult read(std::span<std::byte>) { return {0, EINVAL}; }
    virtual IoResult write(std::span<const std::byte>) { return {0, EINVAL}; }
    virtual int shutdown(Shutdown) { return ENOTSOCK; }
    virtual void close() {}
    virtual void set_capacity(size_t) {}
    virtual class StreamEnd* stream() { return nullptr; }
    virtual class ListenQueue* listener() { return nullptr; }
    virtual class DatagramSocket* datagram() { return nullptr; }
    virtual class ScriptedObject* script() { return nullptr; }

    int take_error() { return std::exchange(error_, 0); }

    /// Grows with every change of one of these bits.
    uint64_t changes(Readiness bits) const {
        uint64_t sum = 0;
        for (unsigned i = 0; i < 6; ++i) {
            if (any(bits, static_cast<Readiness>(1U << i))) sum += changes_[i];
        }
        return sum;
    }
    void changed(Readiness bits) {
        for (unsigned i = 0; i < 6; ++i) {
            if (any(bits, static_cast<Readiness>(1U << i))) ++changes_[i];
        }
    }

    Family family = Family::unix_path;
    Endpoint local;
    Endpoint peer;
    bool linger_reset = false;

protected:
    int error_ = 0;

private:
    uint64_t changes_[6] = {};
};

inline size_t take(std::deque<std::byte>& from, std::span<std::byte> into) {
    const size_t count = std::min(from.size(), into.size());
    const auto end = from.begin() + static_cast<std::ptrdiff_t>(count);
    std::copy(from.begin(), end, into.begin());
    from.erase(from.begin(), end);
    return count;
}

/// Its readiness is what the test says.
class ScriptedObject final : public Object {
public:
    ScriptedObject* script() override { return this; }
    Readiness state() const override { return state_; }
    void set(Readiness state) {
        state_ = state;
        changed(state);
    }

private:
    Readiness state_ = Readiness::none;
};

/// One end of a connected pair, or a socket on its way to become one.
class StreamEnd final : public Object {
public:
    StreamEnd(bool tcp, size_t capacity) : tcp_(tcp), capacity_(capacity) {}

    static void join(const std::shared_ptr<StreamEnd>& a, const std::shared_ptr<StreamEnd>& b) {
        a->other_ = b;
        b->other_ = a;
        a->link_ = b->link_ = Link::up;
        a->changed(Readiness::writable);
        b->changed(Readiness::writable);
    }

    StreamEnd* stream() override { return this; }
    bool idle() const { return link_ == Link::none; }
    bool connecting() const { return link_ == Link::connecting; }
    void begin_connect() { link_ = Link::connecting; }
    void refuse(int code) {
        link_ = Link::up;
        fail(code);
    }

    Readiness state() const override {
        if (link_ == Link::none) return Readiness::writable | Readiness::hangup;
        if (link_ == Link::connecting) return Readiness::none;
        const bool ended = finished_ || read_shut_ || broken_;
        Readiness state = Readiness::none;
        if (ended || !inbox_.empty()) state |= Readiness::readable;
        if (ended) state |= Readiness::read_closed;
        if (write_shut_ || broken_ || room() > 0) state |= Readiness::writable;
        if (error_ != 0) state |= Readiness::error;
        if (broken_ || (ended && write_shut_) || (!tcp_ && gone())) state |= Readiness::hangup;
        return state;
    }

    IoResult read(std::span<std::byte> into) override {
        if (link_ != Link::up) return {0, link_ == Link::none ? ENOTCONN : EAGAIN};
        if (!inbox_.empty()) {
            const size_t count = take(inbox_, into);
            if (const auto other = other_.lock(); other && std::exchange(other->starved_, false)) {
                other->changed(Readiness::writable);
            }
            return {count, 0};
        }
        if (finished_ || read_shut_) return {0, 0};
        if (error_ != 0) return {0, take_error()};
        return broken_ ? IoResult{0, 0} : IoResult{0, EAGAIN};
    }

    IoResult write(std::span<const std::byte> bytes) override {
        if (error_ != 0) return {0, take_error()};
        if (link_ != Link::up) return {0, link_ == Link::none ? ENOTCONN : EAGAIN};
        if (write_shut_ || broken_) return {0, EPIPE};
        const auto other = other_.lock();
        if (!tcp_ && (gone() || other->read_shut_)) return {0, EPIPE};
        if (gone()) {  // TCP learns from the answer to the first bytes that nobody is there
            fail(EPIPE);
            return {bytes.size(), 0};
        }
        const size_t count = std::min(bytes.size(), room());
        starved_ = count < bytes.size();
        if (count == 0 && !bytes.empty()) return {0, EAGAIN};
        const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(count);
        other->inbox_.insert(other->inbox_.end(), bytes.begin(), end);
        other->changed(Readiness::readable);
        return {count, 0};
    }

    int shutdown(Shutdown how) override {
        if (link_ != Link::up || broken_) return ENOTCONN;
        if (how != Shutdown::write) read_shut_ = true;
        if (how != Shutdown::read) {
            write_shut_ = true;
            if (const auto other = other_.lock()) other->finish();
        }
        changed(every_readiness);
        return 0;
    }

    void close() override {
        const auto other = other_.lock();
        if (link_ != Link::up || !other) return;
        other_.reset();
        other->other_.reset();
        if (linger_reset || !inbox_.empty()) {
            other->fail(ECONNRESET);
        } else {
            other->finish();
        }
    }

    /// How many bytes the other end may have unread.
    void set_capacity(size_t bytes) override {
        if (const auto other = other_.lock()) other->capacity_ = bytes;
    }

private:
    enum class Link { none, connecting, up };

    bool gone() const { return other_.expired(); }
    size_t room() const {
        const auto other = other_.lock();
        if (!other) return 1;
        return other->capacity_ - std::min(other->capacity_, other->inbox_.size());
    }
    void finish() {
        finished_ = true;
        changed(every_readiness);
    }
    void fail(int code) {
        error_ = code;
        broken_ = true;
        changed(every_readiness);
    }

    const bool tcp_;
    size_t capacity_;
    Link link_ = Link::none;
    bool finished_ = false;    // the other end sends no more
    bool read_shut_ = false;   // by shutdown
    bool write_shut_ = false;  // by shutdown
    bool broken_ = false;      // reset or refused
    bool starved_ = false;     // a write found too little room
    std::deque<std::byte> inbox_;
    std::weak_ptr<StreamEnd> other_;
};

/// What both ends of a pipe share.
struct PipeBuffer {
    std::deque<std::byte> bytes;
    size_t capacity = 0;
    Object* reader = nullptr;
    Object* writer = nullptr;
};

class PipeReader final : public Object {
public:
    explicit PipeReader(std::shared_ptr<PipeBuffer> pipe) : pipe_(std::move(pipe)) {
        pipe_->reader = this;
    }
    Readiness state() const override {
        Readiness state = Readiness::none;
        if (!pipe_->bytes.empty()) state |= Readiness::readable;
        if (pipe_->writer == nullptr) state |= Readiness::hangup;
        return state;
    }
    IoResult read(std::span<std::byte> into) override {
        if (pipe_->bytes.empty()) return {0, pipe_->writer == nullptr ? 0 : EAGAIN};
        const bool full = pipe_->bytes.size() >= pipe_->capacity;
        const size_t count = take(pipe_->bytes, into);
        if (full && pipe_->writer != nullptr) pipe_->writer->changed(Readiness::writable);
        return {count, 0};
    }
    IoResult write(std::span<const std::byte>) override { return {0, EBADF}; }
    void close() override {
        pipe_->reader = nullptr;
        if (pipe_->writer != nullptr) pipe_->writer->changed(every_readiness);
    }

private:
    std::shared_ptr<PipeBuffer> pipe_;
};

class PipeWriter final : public Object {
public:
    explicit PipeWriter(std::shared_ptr<PipeBuffer> pipe) : pipe_(std::move(pipe)) {
        pipe_->writer = this;
    }
    Readiness state() const override {
        if (pipe_->reader == nullptr) return Readiness::writable | Readiness::error;
        return room() > 0 ? Readiness::writable : Readiness::none;
    }
    IoResult read(std::span<std::byte>) override { return {0, EBADF}; }
    IoResult write(std::span<const std::byte> bytes) override {
        if (pipe_->reader == nullptr) return {0, EPIPE};
        const size_t count = std::min(bytes.size(), room());
        if (count == 0 && !bytes.empty()) return {0, EAGAIN};
        const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(count);
        pipe_->bytes.insert(pipe_->bytes.end(), bytes.begin(), end);
        pipe_->reader->changed(Readiness::readable);
        return {count, 0};
    }
    void close() override {
        pipe_->writer = nullptr;
        if (pipe_->reader != nullptr) pipe_->reader->changed(every_readiness);
    }
    void set_capacity(size_t bytes) override { pipe_->capacity = bytes; }

private:
    size_t room() const { return pipe_->capacity - std::min(pipe_->capacity, pipe_->bytes.size()); }

    std::shared_ptr<PipeBuffer> pipe_;
};

/// A socket that waits for connections.
class ListenQueue final : public Object {
public:
    explicit ListenQueue(size_t backlog) : backlog_(backlog) {}
    ListenQueue* listener() override { return this; }
    Readiness state() const override {
        return waiting_.empty() ? Readiness::none : Readiness::readable;
    }
    bool full() const { return waiting_.size() >= backlog_; }
    void push(std::shared_ptr<StreamEnd> end) {
        waiting_.push_back(std::move(end));
        changed(Readiness::readable);
    }
    std::shared_ptr<StreamEnd> pop() {
        if (waiting_.empty()) return nullptr;
        auto end = std::move(waiting_.front());
        waiting_.pop_front();
        return end;
    }
    void close() override {
        for (const auto& end : waiting_) {
            end->linger_reset = true;
            end->close();
        }
        waiting_.clear();
    }

private:
    size_t backlog_;
    std::deque<std::shared_ptr<StreamEnd>> waiting_;
};

/// Messages with a sender. What doesn't fit is lost, or, between the ends of a pair, refused. What
/// a connected socket sends to nobody comes back as an error of its next call.
class DatagramSocket final : public Object {
public:
    explicit DatagramSocket(size_t capacity) : capacity_(capacity) {}

    static void join(const std::shared_ptr<DatagramSocket>& a,
                     const std::shared_ptr<DatagramSocket>& b) {
        a->other_ = b;
        b->other_ = a;
        a->paired_ = b->paired_ = true;
    }

    static bool is_group(const Endpoint& to) {
        return to.is_ip() && (to.family() == Family::ipv4 ? to.address()[0] >> 4U == 14
                                                          : to.address()[0] == 0xff);
    }
    static bool is_broadcast(const Endpoint& to) {
        return to.family() == Family::ipv4 && to.address()[3] == 255;
    }
    static bool is_for_many(const Endpoint& to) { return is_group(to) || is_broadcast(to); }
    bool hears(const Endpoint& to) const {
        if (to.port() != local.port()) return false;
        return is_broadcast(to) || std::count(groups.begin(), groups.end(), to.with_port(0)) != 0;
    }

    DatagramSocket* datagram() override { return this; }
    Readiness state() const override {
        Readiness state = Readiness::writable;
        if (error_ != 0) return state | Readiness::readable | Readiness::error;
        if (const auto other = other_.lock();
            paired_ && other && (starved_ || other->used_ >= other->capacity_)) {
            state = Readiness::none;
        }
        return inbox_.empty() ? state : state | Readiness::readable;
    }
    IoResult read(std::span<std::byte> into) override {
        Datagram ignored;
        return receive(into, ignored);
    }
    IoResult write(std::span<const std::byte> bytes) override {
        const auto other = other_.lock();
        if (!other) return {0, paired_ ? ECONNREFUSED : EDESTADDRREQ};
        starved_ = paired_ && other->used_ + bytes.size() > other->capacity_;
        if (starved_) return {0, EAGAIN};
        other->deliver(bytes, local);
        return {bytes.size(), 0};
    }
    void refuse() {
        error_ = ECONNREFUSED;
        changed(Readiness::readable | Readiness::error);
    }
    void set_capacity(size_t bytes) override {
        if (const auto other = other_.lock()) other->capacity_ = bytes;
    }

    void deliver(std::span<const std::byte> bytes, const Endpoint& from) {
        if (used_ + bytes.size() > capacity_) return;
        used_ += bytes.size();
        inbox_.push_back({{bytes.begin(), bytes.end()}, from});
        changed(Readiness::readable);
    }
    IoResult receive(std::span<std::byte> into, Datagram& about) {
        if (error_ != 0) return {0, take_error()};
        if (inbox_.empty()) return {0, EAGAIN};
        const Message message = std::move(inbox_.front());
        inbox_.pop_front();
        used_ -= message.bytes.size();
        const size_t count = std::min(message.bytes.size(), into.size());
        std::copy_n(message.bytes.begin(), count, into.begin());
        about = {count, count < message.bytes.size(), message.from};
        if (const auto other = other_.lock(); paired_ && other) {
            other->starved_ = false;
            other->changed(Readiness::writable);
        }
        return {count, 0};
    }

    bool broadcast = false;
    bool share = false;
    std::vector<Endpoint> groups;

private:
    struct Message {
        std::vector<std::byte> bytes;
        Endpoint from;
    };

    size_t capacity_;
    size_t used_ = 0;
    bool paired_ = false;
    bool starved_ = false;  // a write found too little room
    std::deque<Message> inbox_;
    std::weak_ptr<DatagramSocket> other_;
};

}  // namespace rondo::test
