// SPDX-License-Identifier: BSL-1.0
#pragma once
// Connector: makes one connection, to whichever of several addresses answers first. The addresses
// are tried in turn, IPv6 and IPv4 alternating; the next one starts as soon as one has failed, or
// when nothing is decided for a while (RFC 8305, "Happy Eyeballs"). If all fail it may begin again
// after a pause that doubles. What it hands over is a connected descriptor, for
// Connections::adopt().
//
// It refuses to resolve names, that is a Resolver's work, and to make two connections at a time:
// have a Connector for each.

#include <stddef.h>

#include <span>
#include <utility>

#include <rondo/core/array.hpp>
#include <rondo/loop/event_loop.hpp>

namespace rondo::inline RONDO_ABI {

/// How a Connector tries. Rounds try the addresses that connect() was given, and each connect()
/// begins with the shortest pause: who reconnects when a connection has ended sees to a pause, and
/// resolves the name again.
struct ConnectorOptions {
    Duration timeout = Duration::seconds(30);        ///< for everything, further rounds included
    Duration stagger = Duration::milliseconds(250);  ///< then the next address is tried beside
    size_t rounds = 1;  ///< how often all addresses are tried; 0: until the timeout
    Duration retry_min = Duration::milliseconds(100);  ///< the pause before the second round
    Duration retry_max = Duration::seconds(10);        ///< pauses double up to this
    Endpoint source{};                                 ///< bind to it first; none by default
    bool best_effort_source = false;                   ///< if it can't be bound, do without it
};

namespace detail {

struct ConnectRule {
    template <class F>
    static constexpr bool check() {
        static_assert(CallableWith<std::decay_t<F>, Result<int>>,
                      "a connector's handler is called as f(rondo::Result<int> fd)");
        return CallableWith<std::decay_t<F>, Result<int>>;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watches point at it. While it connects it keeps run() going.
///
/// Lifetime: must not outlive the loop; its end is a cancel(). The handler may destroy it.
/// Threads: loop thread.
template <class Loop>
class Connector {
public:
    using Handler =
        CheckedHandler<void(Result<int>), detail::ConnectRule, typename Loop::MemoryPolicy>;

    explicit Connector(Loop& loop, const ConnectorOptions& options = {})
        : loop_(loop), options_(options), next_(loop.timer()), deadline_(loop.timer()) {
        RONDO_ASSERT(options.rounds == 1 || options.retry_min > Duration(),
                     "retry_min must be above 0 if there are several rounds");
    }
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;
    ~Connector() { cancel(); }

    /// Begins to connect. `on_done(fd)` is called once, never from within this call: with a
    /// connected descriptor, which is then the handler's to adopt or close, or with the error of
    /// the attempt that failed last; ETIMEDOUT if the timeout has come. It may connect again.
    /// Lifetime: the addresses are copied.
    /// Errors: ENOMEM, EINVAL without an address; then on_done isn't called.
    template <class F>
    Result<void> connect(std::span<const Endpoint> addresses, F&& on_done) {
        RONDO_ASSERT(!busy(), "a Connector makes one connection at a time: cancel() first");
        if (addresses.empty()) return Error(EINVAL, "connect", "no address");
        Handler handler(static_cast<F&&>(on_done));
        if (!handler || !prepare(addresses)) return Error(ENOMEM, "connect", addresses[0].text());
        done_ = std::move(handler);
        try_next();
        return {};
    }
    /// With a single address.
    template <class F>
    Result<void> connect(const Endpoint& address, F&& on_done) {
        return connect(std::span(&address, 1), static_cast<F&&>(on_done));
    }

    /// Ends what was begun, without calling its handler. Without anything begun it does nothing.
    void cancel() noexcept {
        clear();
        const Handler dropped = std::move(done_);
    }

    /// True from connect() until its handler is called.
    bool busy() const noexcept { return static_cast<bool>(done_); }

private:
    struct Attempt {
        int fd;
        size_t address;
    };

    bool prepare(std::span<const Endpoint> addresses) {
        if (!addresses_.resize(addresses.size()) || !attempts_.reserve(addresses.size())) {
            return false;
        }
        addresses_.truncate(addresses.size());
        alternate(addresses);
        tried_ = 0;
        round_ = 1;
        pause_ = options_.retry_min;
        if (!next_.at(Instant::max(), [this] { go_on(); })) return false;
        if (options_.timeout == never) return true;
        if (deadline_.after(options_.timeout, [this] { expired(); })) return true;
        next_.cancel();
        return false;
    }

    // The order that was given, but families alternate (RFC 8305, section 4): a family that doesn't
    // work must not keep the other waiting.
    void alternate(std::span<const Endpoint> from) noexcept {
        size_t next[2] = {0, 0};
        const auto seek = [&](bool other) {
            size_t& at = next[other];
            while (at < from.size() && (from[at].family() != from[0].family()) != other) ++at;
            return at < from.size();
        };
        bool other = false;
        for (Endpoint& address : addresses_) {
            if (!seek(other)) other = !other;
            seek(other);
            address = from[next[other]++];
            other = !other;
        }
    }

    void go_on() {
        if (over_) return finish(last_);
        try_next();
    }

    void expired() {
        const Endpoint& latest = addresses_[tried_ == 0 ? 0 : tried_ - 1];
        finish(Error(ETIMEDOUT, "connect", latest.text()));
    }

    // Starts with the next address; those that fail at once are passed over. Each way ends with
    // next_ armed: it reports a failure too, because connect() must not call the handler.
    void try_next() {
        while (tried_ < addresses_.size()) {
            if (!start(tried_++)) continue;
            const bool more = tried_ < addresses_.size();
            next_.rearm(more ? options_.stagger : never);
            return;
        }
        if (!attempts_.empty()) {
            next_.rearm(Instant::max());
        } else if (options_.rounds == 0 || round_ < options_.rounds) {
            ++round_;
            tried_ = 0;
            next_.rearm(pause_);
            pause_ = pause_ + pause_ < options_.retry_max ? pause_ + pause_ : options_.retry_max;
        } else {
            over_ = true;
            next_.rearm(Instant::min());
        }
    }

    bool start(size_t address) {
        const Endpoint& to = addresses_[address];
        ConnectOptions how;
        how.source = options_.source ? &options_.source : nullptr;
        how.best_effort_source = options_.best_effort_source;
        const auto fd = loop_.sockets().connect_to(to, how);
        if (!fd) {
            last_ = fd.error();
            return false;
        }
        const auto added = loop_.add(*fd, Interest::write,
                                     [this](int ready, Readiness how_so) { look(ready, how_so); });
        if (!added) {
            loop_.sockets().close(*fd);
            last_ = Error(added.error().code(), "connect", to.text());
            return false;
        }
        static_cast<void>(attempts_.push_back({*fd, address}));
        return true;
    }

    void look(int fd, Readiness readiness) {
        const int code = outcome(fd, readiness);
        if (code == EINPROGRESS) return;
        size_t at = 0;
        while (attempts_[at].fd != fd) ++at;
        const Attempt attempt = attempts_[at];
        attempts_[at] = attempts_[attempts_.size() - 1];
        attempts_.truncate(attempts_.size() - 1);
        if (code == 0) {
            loop_.remove(fd);
            return finish(fd);
        }
        loop_.close(fd);
        last_ = Error(code, "connect", addresses_[attempt.address].text());
        try_next();
    }

    // No pending error doesn't say that it is connected: only having a peer does. A socket that is
    // its own peer has met itself: a port of this host that nobody listens on, taken as the source
    // (both ends send their SYN, RFC 9293, section 3.5, "simultaneous connection").
    int outcome(int fd, Readiness readiness) {
        auto& sockets = loop_.sockets();
        if (const int code = sockets.error(fd)) return code;
        const auto peer = sockets.peer(fd);
        if (!peer) {
            const bool undecided = !any(readiness, Readiness::hangup | Readiness::error);
            return peer.error() == ENOTCONN && undecided ? EINPROGRESS : ECONNRESET;
        }
        if (!peer->is_ip()) return 0;
        const auto local = sockets.local(fd);
        return local && *local == *peer ? ECONNREFUSED : 0;
    }

    // The handler may destroy this.
    void finish(Result<int> result) {
        clear();
        Handler done = std::move(done_);
        done(std::move(result));
    }

    void clear() noexcept {
        next_.cancel();
        deadline_.cancel();
        over_ = false;
        for (const Attempt& attempt : attempts_) loop_.close(attempt.fd);
        attempts_.clear();
    }

    Loop& loop_;
    const ConnectorOptions options_;
    Handler done_;
    typename Loop::Timer next_;  // the next address or round, or the end
    typename Loop::Timer deadline_;
    Array<Endpoint, typename Loop::MemoryPolicy> addresses_;
    Array<Attempt, typename Loop::MemoryPolicy> attempts_;  // undecided
    size_t tried_ = 0;                                      // addresses, in this round
    size_t round_ = 0;
    Duration pause_;
    Error last_;
    bool over_ = false;  // all rounds have failed, which is to be told
};

}  // namespace rondo::inline RONDO_ABI
