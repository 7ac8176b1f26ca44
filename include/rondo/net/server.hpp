// SPDX-License-Identifier: BSL-1.0
#pragma once
// Server: a listener and the connections that it has accepted, with one set of handlers.

#include <utility>

#include <rondo/net/connection.hpp>
#include <rondo/net/listener.hpp>

namespace rondo::inline RONDO_ABI {

/// Neither copied nor moved: its connections point at it. Their transports are made by T(). While
/// it listens or has connections it keeps run() going.
/// Lifetime: must not outlive the loop, nor be destroyed by its own handlers (asserted).
/// Threads: loop thread.
template <class Loop, class State = NoState, class T = Plain>
class Server : public Connections<Loop, State, T> {
    using Base = Connections<Loop, State, T>;

public:
    [[gnu::cold]] explicit Server(Loop& loop, const ConnectionOptions& options = {},
                                  ListenerLimits limits = {})
        : Base(loop, options),
          listener_(
              loop, [this](int fd, const Endpoint&) { take(fd); }, limits),
          deadline_(loop.timer()) {
        const auto gone = [](void* self, bool counted) {
            static_cast<Server*>(self)->gone(counted);
        };
        this->on_gone(gone, this);
    }

    /// Listens on one more endpoint. Port 0 lets the system choose; local() tells which.
    /// Errors: what the system says, named "listen 127.0.0.1:80"; ENOMEM.
    [[gnu::cold]] Result<void> listen(const Endpoint& at, const ListenOptions& options = {}) {
        ListenOptions own = options;
        own.no_delay = this->options().no_delay;
        const auto listening = listener_.listen(at, own);
        if (listening && !at.is_ip()) all_tcp_ = false;
        return listening;
    }
    /// Accepts on a listening socket of the user's; see Listener::adopt. The adopt() of Connections
    /// takes a descriptor that is connected already.
    Result<void> adopt_listening(int fd) {
        const auto adopted = listener_.adopt(fd);
        const bool no_delay = this->options().no_delay;
        if (adopted && !this->loop().sockets().set_no_delay(fd, no_delay)) all_tcp_ = false;
        return adopted;
    }
    /// Adopts what the service manager has handed in; see Listener::adopt_inherited.
    Result<int> adopt_inherited() {
        all_tcp_ = false;
        return listener_.adopt_inherited();
    }
    /// `f(const rondo::Error&)`: why accepting failed; see Listener::on_error.
    template <class F>
    bool on_accept_error(F&& f) {
        return listener_.on_error(static_cast<F&&>(f));
    }
    /// Where it listens.
    Result<Endpoint> local(size_t index = 0) { return listener_.local(index); }
    const Listener<Loop>& listener() const noexcept { return listener_; }

    /// Listens no longer; the connections stay.
    void stop_listening() noexcept { listener_.close(); }
    /// Listens no longer, and closes every connection when what it has to send is sent. Those that
    /// are left after `patience`, or after close_timeout if that is shorter, are aborted.
    /// Afterwards it keeps run() going no longer. Called again, it may only make it shorter.
    /// What isn't sent yet can't be sent any more: a server whose replies take a while calls
    /// stop_listening(), and closes each connection behind its reply.
    /// Errors: false if memory is out; then nothing limits the patience but close_timeout.
    [[gnu::cold]] bool drain(Duration patience) {
        listener_.close();
        this->for_each([](auto& connection) { connection.close(); });
        if (this->empty()) return true;
        const Instant at = this->loop().now() + patience;
        if (this->loop().deadline(deadline_.id()) <= at) return true;
        return deadline_.at(at, [this] {
            this->for_each([](auto& connection) {
                if (connection.closing()) connection.abort();
            });
        });
    }

private:
    void take(int fd) {
        if (this->adopt_counted(fd, all_tcp_ && Loop::Poller::Sockets::inherits_no_delay)) return;
        this->loop().sockets().close(fd);
        listener_.closed();
    }
    void gone(bool counted) noexcept {
        if (counted) listener_.closed();
        if (this->empty()) deadline_.cancel();
    }

    Listener<Loop> listener_;
    typename Loop::Timer deadline_;
    bool all_tcp_ = true;  // what it listens on, with TCP_NODELAY as the connections shall have it
};

}  // namespace rondo::inline RONDO_ABI
