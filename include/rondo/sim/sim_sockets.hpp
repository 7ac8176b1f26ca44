// SPDX-License-Identifier: BSL-1.0
#pragma once
// SocketApi on a host of a simulated world: what PosixSockets does, without a kernel. Errors are
// those of Linux. Moving bytes is in sim_transfer.hpp.
//
// A TCP connect is in progress until the answer has come over the network, also when it is bound to
// fail; a Unix one is decided at once.

#include <errno.h>

#include <memory>
#include <utility>

#include <rondo/core/result.hpp>
#include <rondo/sim/sim_transfer.hpp>

namespace rondo::inline RONDO_ABI {

class SimSockets : public sim::SimTransfer {
public:
    using SimTransfer::SimTransfer;

    Result<int> open(Family family, SocketKind kind) {
        if (!host_->has_room()) return Error(EMFILE, "socket");
        return host_->insert(make(family, kind));
    }
    Result<FdPair> pair(SocketKind kind) {
        if (kind == SocketKind::stream) {
            const auto a = std::make_shared<sim::Stream>(network(), host_->index(), false);
            const auto b = std::make_shared<sim::Stream>(network(), host_->index(), false);
            sim::Stream::join(a, b);
            return insert_pair("socketpair", a, b);
        }
        const auto a = std::make_shared<sim::DatagramSocket>(buffer());
        const auto b = std::make_shared<sim::DatagramSocket>(buffer());
        sim::DatagramSocket::join(a, b);
        return insert_pair("socketpair", a, b);
    }
    Result<FdPair> pipe() {
        const auto pipe = std::make_shared<sim::PipeBuffer>();
        pipe->size_max = buffer();
        return insert_pair("pipe", std::make_shared<sim::PipeReader>(pipe),
                           std::make_shared<sim::PipeWriter>(pipe));
    }

    Result<void> bind(int fd, const Endpoint& at) { return bind_as(fd, at, false); }

    Result<void> listen(int fd, const Endpoint& at, int backlog) {
        const auto object = host_->shared(fd);
        if (!object) return Error(EBADF, "listen", at.text());
        if (object->stream() == nullptr || !object->stream()->idle()) {
            return Error(EINVAL, "listen", at.text());
        }
        const auto queue =
            std::make_shared<sim::ListenQueue>(network(), static_cast<size_t>(backlog));
        queue->family = object->family;
        queue->local = object->local;
        host_->rename(object, queue);
        host_->replace(fd, queue);
        return {};
    }
    Result<int> listen_on(const Endpoint& at, const ListenOptions& options) {
        const auto fd = open(at.family(), SocketKind::stream);
        if (!fd) return fd.error();
        host_->find(*fd)->dual_stack = options.dual_stack;
        Result<void> done = bind_as(*fd, at, options.reuse_port);
        if (done) done = listen(*fd, at, options.backlog);
        if (done) return *fd;
        close(*fd);
        return Error(done.error().code(), "listen", at.text());
    }

    Result<Accepted> accept(int fd) {
        sim::Object* const object = host_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "accept", fd);
        if (object->listener() == nullptr) return Error::on_fd(EINVAL, "accept", fd);
        const bool waiting = object->listener()->state() != Readiness::none;
        if (waiting && (!host_->has_room() || network().strikes(&sim::Faults::accept_no_fds))) {
            network().note("accept fails", host_->index(), fd, EMFILE);
            return Error::on_fd(EMFILE, "accept", fd);
        }
        auto end = object->listener()->pop();
        if (!end) return Error::on_fd(EAGAIN, "accept", fd);
        const Endpoint peer = end->peer;
        const int accepted = host_->insert(std::move(end));
        network().note("accept", host_->index(), accepted);
        return Accepted{accepted, peer};
    }

    Result<void> connect(int fd, const Endpoint& at) {
        const auto object = host_->shared(fd);
        if (!object) return Error(EBADF, "connect", at.text());
        if (object->datagram() != nullptr) return connect_datagram(*object, fd, at);
        if (object->stream() == nullptr) return Error(EINVAL, "connect", at.text());
        const auto end = object->stream()->shared_from_this();
        if (end->connecting()) return Error(EALREADY, "connect", at.text());
        if (!end->idle()) return Error(EISCONN, "connect", at.text());
        network().note("connect", host_->index(), fd, at.port());
        if (!at.is_ip()) {
            const int code = meet(*host_, end, at);
            if (code != 0) return Error(code, "connect", at.text());
            return {};
        }
        if (!end->local) end->local = source_for(at);
        end->begin_connect();
        call(end, at);
        return Error(EINPROGRESS, "connect", at.text());
    }
    Result<int> connect_to(const Endpoint& at, const ConnectOptions& options) {
        const auto fd = open(at.family(), SocketKind::stream);
        if (!fd) return fd.error();
        if (options.source != nullptr) {
            const auto bound = bind(*fd, *options.source);
            if (!bound && !options.best_effort_source) {
                close(*fd);
                return bound.error();
            }
        }
        const auto done = connect(*fd, at);
        if (done || done.error() == EINPROGRESS) return *fd;
        close(*fd);
        return done.error();
    }

    Result<void> shutdown(int fd, Shutdown how) {
        sim::Object* const object = host_->find(fd);
        const int code = object == nullptr
                             ? EBADF
                             : sim::visit(*object, [&](auto& one) { return one.shutdown(how); });
        network().note("shutdown", host_->index(), fd, code);
        if (code != 0) return Error::on_fd(code, "shutdown", fd);
        return {};
    }
    void close(int fd) noexcept {
        if (host_->find(fd) != nullptr) network().note("close", host_->index(), fd);
        host_->close(fd);
    }

    Result<Endpoint> local(int fd) {
        sim::Object* const object = host_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getsockname", fd);
        return object->local;
    }
    Result<Endpoint> peer(int fd) {
        sim::Object* const object = host_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getpeername", fd);
        if (!object->peer) return Error::on_fd(ENOTCONN, "getpeername", fd);
        return object->peer;
    }
    int error(int fd) noexcept {
        sim::Object* const object = host_->find(fd);
        return object == nullptr ? EBADF : object->take_error();
    }

private:
    std::shared_ptr<sim::Object> make(Family family, SocketKind kind) {
        std::shared_ptr<sim::Object> object;
        if (kind == SocketKind::stream) {
            object = std::make_shared<sim::Stream>(network(), host_->index(),
                                                   family != Family::unix_path);
        } else {
            object = std::make_shared<sim::DatagramSocket>(buffer());
        }
        object->family = family;
        return object;
    }
    Result<FdPair> insert_pair(const char* call, std::shared_ptr<sim::Object> a,
                               std::shared_ptr<sim::Object> b) {
        if (!host_->has_room(2)) return Error(EMFILE, call);
        const int first = host_->insert(std::move(a));
        return FdPair{first, host_->insert(std::move(b))};
    }

    Result<void> connect_datagram(sim::Object& object, int fd, const Endpoint& at) {
        if (!at.is_ip() && !host_->named(at, false, 0)) {
            return Error(ECONNREFUSED, "connect", at.text());
        }
        if (!object.local && at.is_ip()) static_cast<void>(bind(fd, any_of(at)));
        object.peer = at;
        return {};
    }

    // The address that the routing would choose.
    Endpoint source_for(const Endpoint& to) {
        const uint16_t port = host_->next_port();
        const Endpoint real = to.unmapped();
        Endpoint source = host_->address(port, real.family());
        if (real.with_port(0) == Endpoint::ipv6_loopback(0)) source = Endpoint::ipv6_loopback(port);
        if (real.with_port(0) == Endpoint::ipv4_loopback(0)) source = Endpoint::ipv4_loopback(port);
        return sim::Host::seen_by(to.family(), source);
    }

    // Asks over the network, and hears the answer in the same way.
    void call(const std::shared_ptr<sim::Stream>& end, const Endpoint& at) {
        sim::Network* const net = &network();
        sim::Host* const there = world_->host_at(at.unmapped(), *host_);
        const bool local = there == host_;
        const auto refuse_at = [net, weak = std::weak_ptr(end)](Duration delay, int code) {
            net->after(delay, [weak, code] {
                if (const auto self = weak.lock()) self->refuse(code);
            });
        };
        if (there == nullptr || (!local && net->strikes(&sim::Faults::connect_lost))) {
            return refuse_at(net->options.connect_timeout, ETIMEDOUT);
        }
        const bool refused = net->strikes(&sim::Faults::connect_refused);
        const auto arrive = [net, weak = std::weak_ptr(end), there, at, refused, home = host_] {
            const auto self = weak.lock();
            if (!self || !self->connecting()) return;
            const int code = refused ? ECONNREFUSED : meet(*there, self, at);
            if (code == 0) return;
            Instant unordered;
            net->carry(there->index(), home->index(), 0, unordered,
                       [self, code] { self->refuse(code); });
        };
        if (local) return net->after(Duration(), arrive);  // in progress until the next wait
        if (net->is_cut(host_->index(), there->index())) {
            refuse_at(net->options.connect_timeout, ETIMEDOUT);
        }
        Instant unordered;
        net->carry(host_->index(), there->index(), 0, unordered, arrive);
    }

    // Makes the connection, or says why not.
    static int meet(sim::Host& there, const std::shared_ptr<sim::Stream>& end, const Endpoint& at) {
        const auto object = there.named(at.unmapped(), true, end->local.port());
        const bool path = !at.is_ip();
        if (!object) return path ? ENOENT : ECONNREFUSED;
        if (object->listener() == nullptr) return ECONNREFUSED;
        if (object->listener()->full()) return path ? EAGAIN : ECONNREFUSED;
        const auto other = end->counterpart(there.index());
        end->peer = at;
        other->local = sim::Host::seen_by(object->family, at.unmapped());
        other->peer = sim::Host::seen_by(object->family, end->local.unmapped());
        sim::Stream::meet(end, other);
        object->listener()->push(other);
        return 0;
    }
};

}  // namespace rondo::inline RONDO_ABI
