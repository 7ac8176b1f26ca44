// SPDX-License-Identifier: BSL-1.0
#pragma once
// Listener: accepts connections on one or several endpoints and hands over their descriptors. It
// takes a bounded number per turn, so that a storm of connects doesn't starve the connections that
// are there, and it stops asking while the user's limit of open connections is reached.
//
// When accepting fails, it neither spins nor gives up: it pauses, ever longer, and tries again. Out
// of descriptors, it first accepts and closes what waits, for which it has one in reserve: the
// client sees an end at once instead of a time-out.

#include <stddef.h>

#include <utility>

#include <rondo/core/array.hpp>
#include <rondo/loop/event_loop.hpp>

namespace rondo::inline RONDO_ABI {

/// How a Listener behaves; the rest is in ListenOptions.
struct ListenerLimits {
    size_t accepts_per_turn = 16;
    size_t connections_max = 0;  ///< open at once, see Listener::closed(); 0: no limit
    Duration pause_min = Duration::milliseconds(10);  ///< after a failure; doubles each time
    Duration pause_max = Duration::seconds(1);
};

/// What a Listener has met so far.
struct ListenerCounters {
    size_t accepted = 0;  ///< handed over
    size_t shed = 0;      ///< accepted and closed at once, because descriptors were out
    size_t failures = 0;  ///< of accept; each is followed by a pause
};

/// What a Listener calls. It must take the descriptor, which is its to close.
template <class F>
concept AcceptCallable = detail::CallableWith<std::decay_t<F>, int, const Endpoint&>;

namespace detail {

struct AcceptRule {
    template <class F>
    static constexpr bool check() {
        static_assert(AcceptCallable<F>,
                      "a listener's handler is called as f(int fd, const rondo::Endpoint& peer)");
        return AcceptCallable<F>;
    }
};

struct AcceptErrorRule {
    template <class F>
    static constexpr bool check() {
        static_assert(CallableWith<std::decay_t<F>, const Error&>,
                      "a listener's error handler is called as f(const rondo::Error& error)");
        return CallableWith<std::decay_t<F>, const Error&>;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watches point at it.
/// While it listens it keeps run() going.
///
/// Lifetime: must not outlive the loop; its end closes the listening descriptors, not the accepted
/// ones.
/// Threads: loop thread.
template <class Loop>
class Listener {
public:
    using Handler =
        CheckedHandler<void(int, const Endpoint&), detail::AcceptRule, typename Loop::MemoryPolicy>;

    /// `on_accept(fd, peer)` is given every connection; the descriptor is then the user's to close.
    template <class F>
    Listener(Loop& loop, F&& on_accept, ListenerLimits limits = {})
        : loop_(loop),
          limits_(limits),
          on_accept_(static_cast<F&&>(on_accept)),
          resume_(loop.timer()) {
        RONDO_ASSERT(limits.accepts_per_turn != 0, "accepts_per_turn must be at least 1");
        RONDO_ASSERT(limits.pause_min > Duration(), "pause_min must be above 0");
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    [[gnu::cold]] ~Listener() {
        close();
        if (accepting_ != nullptr) accepting_->listener = nullptr;
    }

    /// Calls `f(const rondo::Error&)` each time that accepting fails, after which it pauses.
    /// Set it outside of its calls. It may close or destroy the listener.
    /// Errors: false if memory is out; the one before stands.
    template <class F>
    bool on_error(F&& f) {
        RONDO_ASSERT(!telling_, "set the error handler of a listener outside of its calls");
        ErrorHandler handler(static_cast<F&&>(f));
        if (!handler) return false;
        on_error_ = std::move(handler);
        return true;
    }

    /// Listens on one more endpoint.
    /// Errors: what the system says, named "listen 127.0.0.1:80"; ENOMEM.
    [[gnu::cold]] Result<void> listen(const Endpoint& at, const ListenOptions& options = {}) {
        if (!on_accept_ && accepting_ == nullptr) return Error(ENOMEM, "listen", at.text());
        auto fd = loop_.sockets().listen_on(at, options);
        if (!fd) return Error(fd.error().code(), "listen", at.text());
        const auto added = join(*fd, "listen");
        if (added) return added;
        loop_.sockets().close(*fd);
        return Error(added.error().code(), "listen", at.text());
    }

    /// Accepts on a listening socket that the user made or was given, and owns it from then on. It
    /// becomes non-blocking.
    /// Errors: EINVAL if it is no stream socket that listens; EBADF, ENOTSOCK, EEXIST, ENOMEM; the
    /// descriptor then stays the user's.
    [[gnu::cold]] Result<void> adopt(int fd) {
        if (!on_accept_ && accepting_ == nullptr) return Error::on_fd(ENOMEM, "adopt", fd);
        const auto listens = loop_.sockets().listens(fd);
        if (!listens) return Error::on_fd(listens.error().code(), "adopt", fd);
        if (!*listens) return Error::on_fd(EINVAL, "adopt", fd);
        const auto set = loop_.sockets().set_non_blocking(fd, true);
        if (!set) return Error::on_fd(set.error().code(), "adopt", fd);
        return join(fd, "adopt");
    }

    /// Adopts the sockets that the service manager has handed in (LISTEN_FDS), and tells how many.
    /// Errors: as adopt(), for the first that fails; those before it are adopted.
    [[gnu::cold]] Result<int> adopt_inherited() {
        auto count = loop_.poller().system().inherited_fds();
        for (int i = 0; count && i < *count; ++i) {
            const auto adopted = adopt(3 + i);
            if (!adopted) return adopted.error();
        }
        return count;
    }

    /// Where it listens; tells the port that was chosen for port 0.
    [[gnu::cold]] Result<Endpoint> local(size_t index = 0) {
        RONDO_ASSERT(index < fds_.size(), "local: call listen() first");
        return loop_.sockets().local(fds_[index]);
    }

    /// To be told when an accepted connection has been closed, if connections_max is set.
    void closed() noexcept {
        RONDO_ASSERT(open_ > 0, "closed() was called more often than connections were accepted");
        --open_;
        if (full_ && open_ < limits_.connections_max) {
            full_ = false;
            apply();
        }
    }

    /// Stops listening and closes its descriptors. on_accept isn't called again.
    [[gnu::cold]] void close() noexcept {
        resume_.cancel();
        paused_ = false;
        if (accepting_ != nullptr) accepting_->listening = -1;
        for (const int fd : fds_) loop_.close(fd);
        fds_.clear();
        if (spare_ >= 0) loop_.sockets().close(std::exchange(spare_, -1));
    }

    /// How many endpoints it listens on.
    size_t local_count() const noexcept { return fds_.size(); }
    /// Accepted, without those that closed() has told of.
    size_t open_connections() const noexcept { return open_; }
    /// True while it accepts nothing: at connections_max, or for a while after a failure.
    bool paused() const noexcept { return paused_ || full_; }
    const ListenerCounters& counters() const noexcept { return counters_; }

private:
    using ErrorHandler =
        CheckedHandler<void(const Error&), detail::AcceptErrorRule, typename Loop::MemoryPolicy>;

    [[gnu::cold]] Result<void> join(int fd, const char* call) {
        if (!fds_.reserve(fds_.size() + 1) || !ready_to_pause()) {
            return Error::on_fd(ENOMEM, call, fd);
        }
        auto added =
            loop_.add(fd, wanted(), [this](int listening, Readiness) { accept(listening); });
        if (!added) return Error::on_fd(added.error().code(), call, fd);
        static_cast<void>(fds_.push_back(fd));
        if (spare_ < 0) reserve_spare();
        return added;
    }

    Interest wanted() const noexcept { return paused() ? Interest::none : Interest::read; }

    [[gnu::cold]] void apply() noexcept {
        for (const int fd : fds_) loop_.modify(fd, wanted());
    }

    // on_accept may close the listener or destroy it: it is moved to the stack while it runs, and
    // put back if the listener is still there. A nested turn that finds it away leaves the rest for
    // later.
    struct Accepting {
        Listener* listener;
        int listening;  // -1 once the listener was closed: the number may be another's by now
        Handler handler = std::move(listener->on_accept_);

        Accepting(Listener& with, int fd) noexcept : listener(&with), listening(fd) {
            listener->accepting_ = this;
        }
        Accepting(const Accepting&) = delete;
        Accepting& operator=(const Accepting&) = delete;
        [[gnu::noinline]] ~Accepting() {
            if (listener == nullptr) return;
            listener->accepting_ = nullptr;
            listener->on_accept_ = std::move(handler);
        }
    };

    void accept(int listening) {
        if (!on_accept_) return;
        Accepting accepting(*this, listening);
        for (size_t i = 0; i < limits_.accepts_per_turn; ++i) {
            if (paused() || !accept_one(accepting) || accepting.listening < 0) return;
        }
    }

    // False: nothing more to accept for now.
    bool accept_one(Accepting& accepting) {
        auto accepted = loop_.sockets().accept(accepting.listening);
        if (accepted) {
            ++counters_.accepted;
            ++open_;
            full_ = limits_.connections_max != 0 && open_ >= limits_.connections_max;
            if (full_) apply();
            backoff_ = limits_.pause_min;
            accepting.handler(accepted->fd, accepted->peer);
            return true;
        }
        const int code = accepted.error().code();
        if (code == EAGAIN || code == EWOULDBLOCK) return false;
        if (code == EMFILE || code == ENFILE) shed(accepting.listening);
        ++counters_.failures;
        pause();
        tell(accepting, accepted.error());
        return false;
    }

    // The last that is done with the listener, which may be gone afterwards.
    [[gnu::cold]] void tell(Accepting& accepting, const Error& error) {
        if (!on_error_) return;
        struct Telling {
            Accepting& accepting;
            ErrorHandler handler;
            ~Telling() {
                if (accepting.listener == nullptr) return;
                accepting.listener->telling_ = false;
                accepting.listener->on_error_ = std::move(handler);
            }
        } telling{accepting, std::move(on_error_)};
        telling_ = true;
        telling.handler(error);
    }

    // The spare descriptor makes room to accept and close one connection after the other.
    [[gnu::cold]] void shed(int listening) {
        if (spare_ < 0) return;
        loop_.sockets().close(std::exchange(spare_, -1));
        for (size_t i = 0; i < limits_.accepts_per_turn; ++i) {
            auto accepted = loop_.sockets().accept(listening);
            if (!accepted) break;
            loop_.sockets().close(accepted->fd);
            ++counters_.shed;
        }
        reserve_spare();
    }

    [[gnu::cold]] void reserve_spare() {
        if (auto spare = loop_.sockets().open(Family::ipv4, SocketKind::stream)) spare_ = *spare;
    }

    // The timer is made beforehand, to run never: when memory is out, pausing must not need any.
    [[gnu::cold]] bool ready_to_pause() {
        if (resume_.id()) return true;
        if (!resume_.at(Instant::max(), [this] { resume(); })) return false;
        loop_.background(resume_.id(), true);
        return true;
    }

    [[gnu::cold]] void pause() {
        paused_ = resume_.rearm(backoff_);
        backoff_ = backoff_ + backoff_;
        if (backoff_ > limits_.pause_max) backoff_ = limits_.pause_max;
        apply();
    }

    [[gnu::cold]] void resume() {
        paused_ = false;
        resume_.rearm(Instant::max());
        if (spare_ < 0) reserve_spare();
        apply();
    }

    Loop& loop_;
    const ListenerLimits limits_;
    Handler on_accept_;
    ErrorHandler on_error_;
    typename Loop::Timer resume_;
    Array<int, typename Loop::MemoryPolicy> fds_;
    Duration backoff_ = limits_.pause_min;
    ListenerCounters counters_;
    size_t open_ = 0;
    int spare_ = -1;
    bool paused_ = false;             // waiting for resume_
    bool full_ = false;               // at the limit of connections
    bool telling_ = false;            // on_error_ is running, on the stack
    Accepting* accepting_ = nullptr;  // on_accept_ is running, and there
};

}  // namespace rondo::inline RONDO_ABI
