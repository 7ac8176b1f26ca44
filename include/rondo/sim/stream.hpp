// SPDX-License-Identifier: BSL-1.0
#pragma once
// Stream: one end of a connected pair, or a socket on its way to become one. It closes, half-closes
// and resets as Linux's TCP does (`tcp`), or as its Unix sockets do. What one end sends, its end
// and its reset included, travels to the other over the network, in order; so does the room that
// the other makes by reading.

#include <errno.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rondo/sim/network.hpp>
#include <rondo/sim/object.hpp>

namespace rondo::inline RONDO_ABI::sim {

inline size_t take(std::deque<std::byte>& from, size_t most, std::span<std::byte> into) {
    const size_t count = std::min({from.size(), most, into.size()});
    const auto end = from.begin() + static_cast<std::ptrdiff_t>(count);
    std::copy(from.begin(), end, into.begin());
    from.erase(from.begin(), end);
    return count;
}

class Stream final : public Object, public std::enable_shared_from_this<Stream> {
public:
    Stream(Network& network, int host, bool tcp)
        : Object(Kind::stream),
          network_(network),
          host_(host),
          tcp_(tcp),
          buffer_(network.options.buffer) {}

    static void join(const std::shared_ptr<Stream>& a, const std::shared_ptr<Stream>& b) {
        a->other_ = b;
        b->other_ = a;
        a->other_host_ = b->host_;
        b->other_host_ = a->host_;
        a->come_up();
        b->come_up();
    }
    /// The client's end hears that it is connected later than the server's, perhaps too late.
    void come_up() {
        const auto server = other_.lock();
        if (broken_ && server) return server->refused_bytes();
        if (link_ == Link::up) return;
        link_ = Link::up;
        changed(every_readiness);
    }
    static void meet(const std::shared_ptr<Stream>& client, const std::shared_ptr<Stream>& server) {
        client->other_ = server;
        server->other_ = client;
        client->other_host_ = server->host_;
        server->other_host_ = client->host_;
        server->come_up();
        server->tell([](Stream& other) { other.come_up(); });
    }

    /// What will be the other end, on that host.
    std::shared_ptr<Stream> counterpart(int host) const {
        auto other = std::make_shared<Stream>(network_, host, tcp_);
        other->family = family;
        return other;
    }

    bool idle() const noexcept { return link_ == Link::none; }
    bool connecting() const noexcept { return link_ == Link::connecting; }
    void begin_connect() noexcept { link_ = Link::connecting; }
    void refuse(int code) {
        if (link_ != Link::connecting) return;
        link_ = Link::up;
        fail(code);
    }

    Readiness state() const {
        if (link_ == Link::none) return Readiness::writable | Readiness::hangup;
        if (link_ == Link::connecting) return Readiness::none;
        // What is hidden comes before the end.
        const bool ended = (finished_ || read_shut_ || broken_) && !hiding();
        Readiness state = Readiness::none;
        if (ended || visible_ > 0) state |= Readiness::readable;
        if (ended) state |= Readiness::read_closed;
        if (write_shut_ || broken_ || (room() > 0 && !stalled_)) state |= Readiness::writable;
        if (error_ != 0 && !hiding()) state |= Readiness::error;
        if ((ended && (broken_ || write_shut_)) || (!tcp_ && gone())) state |= Readiness::hangup;
        return state;
    }

    IoResult read(std::span<std::byte> into) {
        if (link_ != Link::up) return {0, link_ == Link::none ? ENOTCONN : EAGAIN};
        if (visible_ > 0 && !into.empty()) return take_in(into);
        if (hiding()) return {0, EAGAIN};
        if (finished_ || read_shut_) return {0, 0};
        if (error_ != 0) return {0, take_error()};
        return broken_ ? IoResult{0, 0} : IoResult{0, EAGAIN};
    }

    IoResult write(std::span<const std::byte> bytes) {
        if (error_ != 0) return {0, take_error()};
        if (link_ != Link::up) return {0, link_ == Link::none ? ENOTCONN : EAGAIN};
        if (write_shut_ || broken_) return {0, EPIPE};
        if (!tcp_ && (gone() || other_.lock()->read_shut_)) return {0, EPIPE};
        size_t count = std::min(bytes.size(), room());
        if (count > 0 && faulty(&Faults::spurious)) {
            stall();
            count = 0;
        }
        if (count > 1 && faulty(&Faults::short_write)) {
            count = network_.part_of(count);
            stall();
        }
        const bool ends = count > 0 && faulty(&Faults::half_close);
        if (ends) count = network_.part_of(count);
        starved_ = count < bytes.size();
        if (count == 0 && !bytes.empty()) return {0, EAGAIN};
        send(bytes.first(count));
        if (ends) static_cast<void>(shutdown(Shutdown::write));
        return {count, 0};
    }

    int shutdown(Shutdown how) {
        if (link_ != Link::up || broken_) return ENOTCONN;
        if (how != Shutdown::write) read_shut_ = true;
        if (how != Shutdown::read && !std::exchange(write_shut_, true)) {
            tell([](Stream& other) { other.finish(); });
        }
        changed(every_readiness);
        return 0;
    }

    void close() {
        closed_ = true;
        if (link_ != Link::up || broken_) return;
        if (linger_reset || !inbox_.empty()) {
            tell([](Stream& other) { other.fail(ECONNRESET); });
        } else {
            tell([](Stream& other) { other.finish(); });
        }
    }
    /// As if the network had lost it for good.
    void reset() {
        tell([](Stream& other) { other.fail(ECONNRESET); });
        fail(ECONNRESET);
    }

    void set_buffer(size_t bytes) { buffer_ = bytes; }

private:
    enum class Link { none, connecting, up };

    bool gone() const {
        const auto other = other_.lock();
        return !other || other->closed_;
    }
    bool hiding() const noexcept { return visible_ < inbox_.size(); }
    size_t room() const noexcept { return buffer_ - std::min(buffer_, unread_); }
    // Pairs and sockets of one host know no faults but these of their own calls.
    bool faulty(double Faults::* fault) { return tcp_ && network_.strikes(fault); }

    void finish() {
        finished_ = true;
        changed(every_readiness);
    }
    void fail(int code) {
        if (broken_ || closed_) return;
        error_ = code;
        broken_ = true;
        visible_ = inbox_.size();
        changed(every_readiness);
    }

    // At the other end, when all that was sent before has come.
    template <class F>
    void tell(F f, size_t bytes = 0) {
        network_.carry(host_, other_host_, bytes, last_sent_, [other = other_, f]() mutable {
            const auto there = other.lock();
            if (there) f(*there);
        });
    }

    void send(std::span<const std::byte> bytes) {
        unread_ += bytes.size();
        size_t arriving = bytes.size();
        const bool cut = faulty(&Faults::reset);
        if (cut) arriving = network_.part_of(arriving) - 1;
        network_.carry(host_, other_host_, arriving, last_sent_,
                       [from = weak_from_this(), to = other_, cut,
                        part = std::vector<std::byte>(
                            bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(arriving))] {
                           const auto sender = from.lock();
                           const auto receiver = to.lock();
                           if (receiver && !receiver->closed_) {
                               receiver->receive(part);
                               if (cut) receiver->reset();
                           } else if (sender) {
                               sender->refused_bytes();
                           }
                       });
    }
    // TCP learns from the answer to its bytes that nobody is there any more.
    void refused_bytes() {
        network_.carry(other_host_, host_, 0, last_answer_, [self = weak_from_this()] {
            const auto here = self.lock();
            if (here) here->fail(here->finished_ ? EPIPE : ECONNRESET);
        });
    }

    void receive(const std::vector<std::byte>& bytes) {
        if (broken_) return;
        const bool all = !hiding();
        inbox_.insert(inbox_.end(), bytes.begin(), bytes.end());
        if (!all) return;
        visible_ = inbox_.size();
        changed(Readiness::readable);
    }
    IoResult take_in(std::span<std::byte> into) {
        if (faulty(&Faults::spurious)) {
            hide(0);
            return {0, EAGAIN};
        }
        if (visible_ > 1 && faulty(&Faults::short_read)) hide(network_.part_of(visible_ - 1));
        const size_t count = take(inbox_, visible_, into);
        visible_ -= count;
        make_room(count);
        return {count, 0};
    }
    void make_room(size_t count) {
        network_.carry(host_, other_host_, 0, last_sent_room_, [other = other_, count] {
            const auto there = other.lock();
            if (!there) return;
            there->unread_ -= std::min(there->unread_, count);
            if (std::exchange(there->starved_, false)) there->changed(Readiness::writable);
        });
    }

    // The rest is there a little later, and its coming is news.
    void hide(size_t visible) {
        visible_ = visible;
        network_.after(a_little(), [self = weak_from_this()] {
            const auto here = self.lock();
            if (!here || !here->hiding()) return;
            here->visible_ = here->inbox_.size();
            here->changed(every_readiness);
        });
    }
    void stall() {
        stalled_ = true;
        network_.after(a_little(), [self = weak_from_this()] {
            const auto here = self.lock();
            if (!here) return;
            here->stalled_ = false;
            here->changed(Readiness::writable);
        });
    }
    Duration a_little() {
        return Duration::microseconds(1 + static_cast<int64_t>(network_.random.below(1000)));
    }

    Network& network_;
    const int host_;
    int other_host_ = host_;
    const bool tcp_;
    size_t buffer_;       // how many bytes may be on the way to the other end's reader
    size_t unread_ = 0;   // how many are
    size_t visible_ = 0;  // bytes of the inbox that may be read
    Link link_ = Link::none;
    bool finished_ = false;    // the other end sends no more
    bool read_shut_ = false;   // by shutdown
    bool write_shut_ = false;  // by shutdown
    bool broken_ = false;      // reset or refused
    bool closed_ = false;
    bool starved_ = false;  // a write found too little room
    bool stalled_ = false;  // there is no room for a little while, although there is
    Instant last_sent_, last_sent_room_, last_answer_;
    std::deque<std::byte> inbox_;
    std::weak_ptr<Stream> other_;
};

}  // namespace rondo::inline RONDO_ABI::sim
