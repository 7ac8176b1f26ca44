// SPDX-License-Identifier: BSL-1.0
#pragma once
// Connection: a buffered stream over a descriptor. It lives in a Connections group, which holds the
// handlers; its own size is all that an idle one costs, because reading uses a buffer of the loop
// and writing is queued only when the kernel takes no more.
//
// Reading: on_data is shown what has come and says how much of it was used; the rest is kept and
// shown again, with what comes next. Writing: outside of its handlers send() tries the descriptor
// at once; what a handler sends leaves in one system call when it returns. It is registered once,
// edge-triggered where the poller can; write interest joins for good when the kernel first takes
// less than all. While its replies are above the high-water mark it reads no more by itself.
//
// How it reads and ends is in connection_io.hpp, how it writes in connection_write.hpp.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include <rondo/core/buffer.hpp>
#include <rondo/core/send_queue.hpp>
#include <rondo/loop/event_loop.hpp>
#include <rondo/net/connection_options.hpp>
#include <rondo/net/transport.hpp>

namespace rondo::inline RONDO_ABI {

template <class Loop, class State = NoState, class T = Plain>
class Connections;

/// Neither copied nor moved; made by Connections::adopt or a Server.
///
/// Lifetime: until on_close has returned. Keep its handle(), not its address; a handler may use the
/// one that it is given, also after it has closed it. Threads: loop thread.
template <class Loop, class State = NoState, class T = Plain>
class alignas(64) Connection {
public:
    using Group = Connections<Loop, State, T>;
    using M = typename Loop::MemoryPolicy;

    /// For Connections only.
    Connection(Group& group, int fd, const T& transport);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { queue_.clear(group_.pool_); }

    /// The user's own value, made with the connection and destroyed after on_close.
    State& state() noexcept { return state_; }
    ConnectionHandle handle() const noexcept { return {key_}; }
    /// The descriptor, for its options; the connection closes it.
    int fd() const noexcept { return fd_; }
    /// Whom it is connected with.
    /// Errors: what the system says; EBADF once it has ended.
    Result<Endpoint> peer() {
        if (dead_) return Error::on_fd(EBADF, "peer", fd_);
        return sockets().peer(fd_);
    }
    Group& group() noexcept { return group_; }
    T& transport() noexcept { return transport_; }

    /// Sends a copy of `bytes`, in order. True doesn't mean that there is room: whoever sends
    /// unasked looks at full(), or sets unsent_max. False: it can't send any more (closed, ended,
    /// or broken); or memory is out or unsent_max was passed, which ends it.
    /// Cost: outside of its handlers one system call if nothing is queued; inside, none. What
    /// on_data sends of the very bytes that it is shown is not even copied.
    bool send(std::span<const std::byte> bytes);
    bool send(std::string_view text) { return send(std::as_bytes(std::span(text))); }
    /// Sends a string or vector that is moved in, without a copy; small ones are copied. It ends
    /// when its last byte has left, or when the connection does; its destructor may send and abort.
    template <OwnsBytes Owner>
    bool send(Owner&& owner);
    /// Sends several pieces in one system call, such as a header and what it announces. They are
    /// copied; outside of its handlers all but the last.
    bool send_parts(std::initializer_list<std::span<const std::byte>> parts);
    /// Sends what is queued now, in a handler too, as far as the kernel takes it.
    void flush();

    /// Reads no more until resume(). Bytes that on_data has left are shown again then.
    void pause() noexcept;
    void resume() noexcept;
    bool paused() const noexcept { return paused_; }

    /// Half-close: sends what is queued, and then tells the peer that no more will come. It goes on
    /// reading, and ends when the peer has finished too. What isn't a socket ends at once then.
    void end();
    /// Sends what is queued, tells the peer, waits until it has finished too, and ends. What still
    /// comes is discarded; after close_timeout it is aborted. on_data isn't called any more.
    void close();
    /// Ends it now: what is queued is lost, and a TCP peer is told by a reset. on_close is told
    /// `reason`, an errno value.
    void abort(int reason = ECONNABORTED);

    /// For an on_data that takes its bytes message by message: so many of them are used, whatever
    /// comes of the next. One that throws without having said so has used them all.
    void used(size_t bytes) noexcept { used_ = bytes; }
    /// For an on_data that takes its bytes message by message: false when the next one should wait
    /// or is no longer wanted, because the connection was paused, closed, or is full of replies.
    /// What on_data hasn't used then is shown again when it is time, or dropped.
    bool wants_more() const noexcept {
        const bool waits = replied_ && options().pause_if_full;
        return !dead_ && !closing_ && !paused_ && (!waits || unsent() <= options().high_water);
    }
    /// True while send() can work.
    bool can_send() const noexcept { return !dead_ && !ending_ && broken_ == 0; }
    /// True from close() on.
    bool closing() const noexcept { return closing_; }
    /// True from above the high-water mark until on_drain.
    bool full() const noexcept { return full_; }
    size_t unsent() const noexcept { return queue_.size() + borrowed_.size(); }
    size_t unconsumed() const noexcept { return rest_.size(); }
    const ConnectionCounters& counters() const noexcept { return counters_; }

    /// Whether it keeps run() going. It does.
    void set_background(bool background) noexcept {
        if (!dead_) loop().background(fd_, background);
    }

private:
    friend Group;
    struct Running;
    struct Shown;
    static constexpr int reads_per_turn = 4;
    static constexpr size_t parts_max = 64;
    static constexpr size_t copied_below =
        512;  // moved-in owners: a piece costs more than the copy
    static constexpr bool edge = Loop::Poller::traits.edge;
    static constexpr Interest read_interest = edge && Loop::Poller::traits.priority
                                                  ? Interest::read | Interest::priority
                                                  : Interest::read;

    Loop& loop() noexcept { return group_.loop_; }
    auto& sockets() noexcept { return group_.loop_.sockets(); }
    const ConnectionOptions& options() const noexcept { return group_.options_; }

    void opened();
    void ready(Readiness readiness);
    void work();
    void conclude();
    void watch_for();

    void write_out();
    IoResult write_queue(const ConstBuffer& behind, size_t& asked);
    void tell_drained();
    bool sent();
    void settle();
    bool enqueue(std::span<const std::byte> bytes);
    void keep_borrowed();
    void mark();
    void broken(int code);
    void finish_writing();

    bool wants_read() const noexcept;
    void read_in();
    void show(std::span<const std::byte> fresh);
    void show_what_is_left() noexcept;
    void read_ended();

    void die(int code, const char* call) noexcept;
    Error reason() const noexcept;
    void set_timer();
    void expired();
    Instant deadline(const char*& call) const noexcept;

    // What every message touches comes first.
    Group& group_;
    int fd_;
    Interest can_ = Interest::write;  // readiness that no call has used up
    bool listed_ = false;
    uint16_t depth_ = 0;       // of its handlers on the stack
    bool counted_ = false;     // by the listener that has accepted it
    bool joined_ = false;      // write interest is there
    bool reads_on_ = true;     // a short read may have something behind it
    bool paused_ = false;      // by the user
    bool full_ = false;        // above the high-water mark
    bool choked_ = false;      // so much so by its replies that it doesn't read
    bool drained_ = false;     // on_drain is due
    bool show_again_ = false;  // on_data is due with what it has left
    bool read_ended_ = false;
    bool ending_ = false;  // no more is sent after the queue
    bool write_ended_ = false;
    bool closing_ = false;
    bool replied_ = false;  // on_data has sent something, this time
    bool dead_ = false;     // the descriptor is closed, on_close is due
    int broken_ = 0;        // what a write has failed with
    SendQueue<M> queue_;
    std::span<const std::byte> borrowed_;  // behind the queue: bytes that on_data is looking at
    std::span<const std::byte> shown_;     // what on_data is looking at
    size_t used_ = 0;                      // of what it is looking at
    Buffer<M> rest_;                       // what it has left
    ConnectionCounters counters_;
    Instant read_since_;                    // it has been reading, and nothing came
    Instant write_since_ = Instant::max();  // bytes have been waiting

    TimerId timer_;
    Instant timer_at_ = Instant::max();
    Instant close_at_ = Instant::max();
    Connection* previous_ = nullptr;  // in the group's list of those that have something to do
    Connection* next_ = nullptr;
    SlabKey key_;
    const char* end_call_ = "";
    int end_code_ = 0;  // once dead: what it ended with
    [[no_unique_address]] T transport_;
    [[no_unique_address]] State state_;
};

}  // namespace rondo::inline RONDO_ABI

#include <rondo/net/connections.hpp>
