// SPDX-License-Identifier: BSL-1.0
#pragma once
// DatagramSocket: messages with a sender. What doesn't fit is lost, or, between the ends of a pair,
// refused. What a connected socket sends to nobody comes back as an error of its next call.

#include <errno.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rondo/sim/object.hpp>

namespace rondo::inline RONDO_ABI::sim {

class DatagramSocket final : public Object, public std::enable_shared_from_this<DatagramSocket> {
public:
    explicit DatagramSocket(size_t buffer) : Object(Kind::datagram), buffer_(buffer) {}

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
    /// Of all hosts, 255.255.255.255, or of a network of which the first byte is the name, as the
    /// hosts' 10.255.255.255.
    static bool is_broadcast(const Endpoint& to) {
        return to.family() == Family::ipv4 &&
               std::ranges::all_of(to.address().subspan(1), [](uint8_t one) { return one == 255; });
    }
    static bool is_for_many(const Endpoint& to) { return is_group(to) || is_broadcast(to); }
    bool hears(const Endpoint& to) const {
        if (to.port() != local.port()) return false;
        return is_broadcast(to) || std::count(groups.begin(), groups.end(), to.with_port(0)) != 0;
    }

    Readiness state() const {
        Readiness state = Readiness::writable;
        if (error_ != 0) return state | Readiness::readable | Readiness::error;
        if (const auto other = other_.lock();
            paired_ && other && (starved_ || other->used_ >= other->buffer_)) {
            state = Readiness::none;
        }
        return inbox_.empty() ? state : state | Readiness::readable;
    }
    IoResult read(std::span<std::byte> into) {
        Datagram ignored;
        return receive(into, ignored);
    }
    IoResult write(std::span<const std::byte> bytes) {
        const auto other = other_.lock();
        if (!other) return {0, paired_ ? ECONNREFUSED : EDESTADDRREQ};
        starved_ = paired_ && other->used_ + bytes.size() > other->buffer_;
        if (starved_) return {0, EAGAIN};
        other->deliver(bytes, local);
        return {bytes.size(), 0};
    }
    void refuse() {
        error_ = ECONNREFUSED;
        changed(Readiness::readable | Readiness::error);
    }
    void set_buffer(size_t bytes) {
        if (const auto other = other_.lock()) other->buffer_ = bytes;
    }

    void deliver(std::span<const std::byte> bytes, const Endpoint& from) {
        if (used_ + bytes.size() > buffer_) return;
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
    Instant last_sent;

private:
    struct Message {
        std::vector<std::byte> bytes;
        Endpoint from;
    };

    size_t buffer_;
    size_t used_ = 0;
    bool paired_ = false;
    bool starved_ = false;  // a write found too little room
    std::deque<Message> inbox_;
    std::weak_ptr<DatagramSocket> other_;
};

}  // namespace rondo::inline RONDO_ABI::sim
