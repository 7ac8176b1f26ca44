// SPDX-License-Identifier: BSL-1.0
#pragma once
// Connections: a group of connections with the same handlers, limits and kind of state. It owns
// them behind handles that are harmless when a connection is gone, so that nobody needs a map from
// descriptors to objects. A Server is such a group with a listener; a client is one with a
// Connector.

#include <concepts>
#include <type_traits>
#include <utility>

#include <rondo/core/slab.hpp>
#include <rondo/net/connection.hpp>

namespace rondo::inline RONDO_ABI {

/// Neither copied nor moved: its connections point at it.
///
/// Lifetime: must not outlive the loop, nor be destroyed by its own handlers (asserted). Its end
/// closes all connections without calling anybody. Threads: loop thread. A handler may run a nested
/// turn, but must not wait in it for what becomes of other connections of the group: what is put
/// off, such as their on_close, may come only after it has returned.
template <class Loop, class State, class T>
class Connections {
public:
    using Connection = rondo::Connection<Loop, State, T>;
    using M = typename Loop::MemoryPolicy;

    [[gnu::cold]] explicit Connections(Loop& loop, const ConnectionOptions& options = {}) noexcept
        : loop_(loop),
          options_(complete(options)),
          timed_(options.idle_timeout != never || options.read_timeout != never ||
                 options.write_timeout != never),
          service_(loop.timer()) {
        static_assert(Transport<T, typename Loop::Poller::Sockets>);
        static_assert(std::is_default_constructible_v<State>,
                      "a connection's State is made by its default constructor");
        RONDO_ASSERT(options_.low_water <= options_.high_water,
                     "the low-water mark is at most the high-water mark");
    }
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;
    [[gnu::cold]] ~Connections();

    // Handlers: set them before the first connection. Those that captured more than 48 bytes need
    // memory; if it is out, adopt() says so from then on. ----------------------------------------

    /// `f(connection)`: it is there; connected, accepted or adopted.
    template <class F>
    void on_open(F&& f) {
        set<Event>(open_, static_cast<F&&>(f));
    }
    /// `f(connection, std::span<const std::byte> bytes)`: bytes have come. It returns how many of
    /// them it has used, or nothing if all. The others are shown again before those that come next.
    /// Lifetime: the bytes don't change until it returns.
    template <class F>
    void on_data(F&& f);
    /// `f(connection)`: the queue has fallen from above the high-water mark to the low one.
    template <class F>
    void on_drain(F&& f) {
        set<Event>(drain_, static_cast<F&&>(f));
    }
    /// `f(connection)`: the peer has finished sending. Without such a handler the connection is
    /// closed; with one it stays open for writing. Not called if end() has finished our side
    /// before: then on_close follows at once.
    template <class F>
    void on_end(F&& f) {
        set<Event>(end_, static_cast<F&&>(f));
    }
    /// `f(connection, const Error& reason)`: the last call for it, exactly once, never from within
    /// one of its functions. The reason tests false if both sides had finished, or this one on what
    /// can't be closed by half. Besides what reading and writing fail with, it is ETIMEDOUT (and
    /// which timeout), EMSGSIZE and ENOBUFS (its limits), ENOMEM, or abort()'s.
    template <class F>
    void on_close(F&& f) {
        static_assert(std::is_invocable_v<std::decay_t<F>&, Connection&, const Error&>,
                      "on_close is called as f(connection, const rondo::Error& reason)");
        set<Closed>(close_, static_cast<F&&>(f));
    }

    // Connections --------------------------------------------------------------------------------

    /// Makes a connection of a stream that is open already: a socket, a pipe, a terminal. It must
    /// be non-blocking. A terminal must be open for reading too, and canonical or with a VMIN of at
    /// least 1: a read that gives nothing is the end. on_open runs before this returns; if it has
    /// ended it, the handle finds nothing.
    /// Errors: what the poller says of it, ENOMEM; the descriptor is then still the caller's, as it
    /// is if State's constructor throws. An exception of on_open passes through; the connection is
    /// there all the same.
    Result<ConnectionHandle> adopt(int fd, const T& transport = T()) {
        return add(fd, transport, false, false);
    }

    /// nullptr if it is gone.
    Connection* find(ConnectionHandle handle) noexcept {
        Connection* const connection = slab_.find(handle.key);
        return connection != nullptr && !connection->dead_ ? connection : nullptr;
    }
    /// Calls f(connection) for each; f may close it, and others.
    template <class F>
    void for_each(F&& f) {
        slab_.for_each([&f](SlabKey, Connection& connection) {
            if (!connection.dead_) f(connection);
        });
    }
    /// Those whose on_close hasn't returned.
    size_t size() const noexcept { return slab_.size(); }
    bool empty() const noexcept { return slab_.empty(); }

    Loop& loop() noexcept { return loop_; }
    const ConnectionOptions& options() const noexcept { return options_; }

protected:
    /// `gone(context, counted)` is told of each connection that has gone.
    void on_gone(void (*gone)(void*, bool), void* context) noexcept {
        gone_ = gone;
        gone_context_ = context;
    }
    /// Like adopt, of one that the listener counts. `prepared`: it is TCP, and has TCP_NODELAY as
    /// the options say.
    Result<ConnectionHandle> adopt_counted(int fd, bool prepared) {
        return add(fd, T(), true, prepared);
    }

private:
    friend Connection;
    using Event = Handler<void(Connection&), 48, M>;
    using Data = Handler<size_t(Connection&, std::span<const std::byte>), 48, M>;
    using Closed = Handler<void(Connection&, const Error&), 48, M>;

    template <class H, class F>
    void set(H& handler, F&& f) {
        RONDO_ASSERT(running_ == 0, "set the handlers of a group outside of its handlers");
        RONDO_ASSERT(!detail::holds_nothing<std::decay_t<F>>(f),
                     "an empty handler was given: give it a callable");
        if constexpr (std::same_as<H, Event>) {
            static_assert(std::is_invocable_v<std::decay_t<F>&, Connection&>,
                          "this handler of a connection is called as f(connection)");
        }
        handler = H(static_cast<F&&>(f));
        handler_lost_ |= !handler;
    }

    static ConnectionOptions complete(ConnectionOptions options) noexcept {
        if (options.unsent_max != 0 && options.unsent_max < options.high_water) {
            options.high_water = options.unsent_max;
            if (options.low_water != ConnectionOptions::a_quarter &&
                options.low_water > options.high_water) {
                options.low_water = options.high_water;
            }
        }
        if (options.low_water == ConnectionOptions::a_quarter) {
            options.low_water = options.high_water / 4;
        }
        return options;
    }

    Result<ConnectionHandle> add(int fd, const T& transport, bool counted, bool prepared);
    void enlist(Connection& connection) noexcept;
    void unlist(Connection& connection) noexcept;
    bool ready_to_serve();
    void serve();
    void bury(Connection& connection);

    Loop& loop_;
    const ConnectionOptions options_;
    const bool timed_;           // there are timeouts besides that of close()
    bool handler_lost_ = false;  // memory was out when one was set
    Event open_;
    Data data_;
    Event drain_;
    Event end_;
    Closed close_;
    SendPool<M> pool_;
    Slab<Connection, M> slab_;
    typename Loop::Timer service_;  // due when the list isn't empty
    Connection* first_ = nullptr;   // the list of those that have something to do
    Connection* last_ = nullptr;
    size_t listed_ = 0;
    size_t running_ = 0;  // handlers on the stack
    void (*gone_)(void*, bool) = nullptr;
    void* gone_context_ = nullptr;
};

template <class Loop, class State, class T>
template <class F>
void Connections<Loop, State, T>::on_data(F&& f) {
    using Fn = std::decay_t<F>;
    constexpr bool fits = std::is_invocable_v<Fn&, Connection&, std::span<const std::byte>>;
    static_assert(
        fits,
        "on_data is called as f(connection, std::span<const std::byte> bytes); it returns "
        "nothing, or how many bytes it has used");
    if constexpr (fits) {
        using R = std::invoke_result_t<Fn&, Connection&, std::span<const std::byte>>;
        static_assert(std::is_void_v<R> || std::same_as<R, size_t>,
                      "on_data returns nothing, or how many bytes it has used, as a size_t");
        if constexpr (std::is_void_v<R>) {
            RONDO_ASSERT(!detail::holds_nothing<Fn>(f),
                         "an empty handler was given: give it a callable");
            set<Data>(data_, [fn = Fn(static_cast<F&&>(f))](
                                 Connection& connection, std::span<const std::byte> bytes) mutable {
                fn(connection, bytes);
                return bytes.size();
            });
        } else {
            set<Data>(data_, static_cast<F&&>(f));
        }
    }
}

template <class Loop, class State, class T>
Connections<Loop, State, T>::~Connections() {
    RONDO_ASSERT(running_ == 0, "a handler must not destroy the connections that call it");
    slab_.for_each([](SlabKey, Connection& connection) {
        if (!connection.dead_) connection.die(ECANCELED, "close");
    });
}

template <class Loop, class State, class T>
Result<ConnectionHandle> Connections<Loop, State, T>::add(int fd, const T& transport, bool counted,
                                                          bool prepared) {
    if (handler_lost_ || !ready_to_serve()) return Error::on_fd(ENOMEM, "adopt", fd);
    // If State's constructor throws, nobody else sees to a descriptor that was just accepted.
    struct Unowned {
        Connections& self;
        int fd;
        bool counted;
        ~Unowned() {
            if (!counted) return;
            self.loop_.sockets().close(fd);
            self.gone_(self.gone_context_, true);
        }
    } unowned{*this, fd, counted};
    const SlabKey key = slab_.insert(*this, fd, transport);
    unowned.counted = false;
    if (!key) return Error::on_fd(ENOMEM, "adopt", fd);
    Connection& connection = *slab_.find(key);
    connection.key_ = key;
    connection.counted_ = counted;
    const Interest how =
        Connection::read_interest | (Connection::edge ? Interest::edge : Interest::none);
    auto added = loop_.add(fd, how, [at = &connection](Readiness ready) { at->ready(ready); });
    if (!added) {
        connection.dead_ = true;
        slab_.erase(key);
        return Error::on_fd(added.error().code(), "adopt", fd);
    }
    const bool tcp = prepared || loop_.sockets().set_no_delay(fd, options_.no_delay);
    constexpr auto& traits = Loop::Poller::traits;
    constexpr bool told = !traits.edge || (traits.priority && traits.read_closed);
    connection.reads_on_ = !tcp || !told;
    connection.opened();
    return ConnectionHandle{key};
}

// The timer is made beforehand, to run never: what has to be done later must not need memory. It
// keeps run() going only while it is due.
template <class Loop, class State, class T>
bool Connections<Loop, State, T>::ready_to_serve() {
    if (service_.id()) return true;
    if (!service_.at(Instant::max(), [this] { serve(); })) return false;
    loop_.background(service_.id(), true);
    return true;
}

template <class Loop, class State, class T>
void Connections<Loop, State, T>::enlist(Connection& connection) noexcept {
    if (std::exchange(connection.listed_, true)) return;
    connection.previous_ = last_;
    connection.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &connection;
    last_ = &connection;
    if (++listed_ != 1) return;
    loop_.background(service_.id(), false);
    service_.rearm(Instant::min());
}

template <class Loop, class State, class T>
void Connections<Loop, State, T>::unlist(Connection& connection) noexcept {
    if (!std::exchange(connection.listed_, false)) return;
    auto* const previous = connection.previous_;
    auto* const next = connection.next_;
    (previous != nullptr ? previous->next_ : first_) = next;
    (next != nullptr ? next->previous_ : last_) = previous;
    --listed_;
}

template <class Loop, class State, class T>
void Connections<Loop, State, T>::serve() {
    // Whatever way the calls end: due again if some are left, otherwise asleep.
    struct Due {
        Connections& self;
        ~Due() {
            const bool left = self.listed_ != 0;
            self.loop_.background(self.service_.id(), !left);
            self.service_.rearm(left ? Instant::min() : Instant::max());
        }
    } const due{*this};
    for (size_t left = listed_; left != 0 && first_ != nullptr; --left) {
        Connection& connection = *first_;
        unlist(connection);
        connection.work();
    }
}

// on_close, and the end.
template <class Loop, class State, class T>
void Connections<Loop, State, T>::bury(Connection& connection) {
    struct End {
        Connections& self;
        Connection& connection;
        ~End() {
            self.unlist(connection);
            const bool counted = connection.counted_;
            self.slab_.erase(connection.key_);
            if (self.gone_ != nullptr) self.gone_(self.gone_context_, counted);
            --self.running_;
        }
    } const end{*this, connection};
    ++running_;
    ++connection.depth_;
    if (close_) close_(connection, connection.reason());
}

}  // namespace rondo::inline RONDO_ABI

#include <rondo/net/connection_io.hpp>
#include <rondo/net/connection_write.hpp>
