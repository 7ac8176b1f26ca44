// SPDX-License-Identifier: BSL-1.0
#pragma once
// SocketApi in the memory of a ManualWorld: what PosixSockets does, without a kernel. Numbers are
// reused lowest first, as a kernel does; errors are those of Linux.
//
// A TCP connect is in progress until the next wait, also when it is bound to fail; a Unix one is
// decided at once.

#include <errno.h>

#include <algorithm>
#include <memory>
#include <span>

#include <rondo/core/result.hpp>
#include <rondo/core/socket_types.hpp>

#include "manual_world.hpp"

namespace rondo::test {

class ManualSockets {
public:
    explicit ManualSockets(ManualWorld& world) : world_(&world) {}

    Result<int> open(Family family, SocketKind kind) {
        std::shared_ptr<Object> object;
        if (kind == SocketKind::stream) {
            object = std::make_shared<StreamEnd>(family != Family::unix_path, world_->capacity());
        } else {
            object = std::make_shared<DatagramSocket>(world_->capacity());
        }
        object->family = family;
        return world_->insert(std::move(object));
    }

    Result<FdPair> pair(SocketKind kind) {
        if (kind == SocketKind::stream) {
            const auto a = std::make_shared<StreamEnd>(false, world_->capacity());
            const auto b = std::make_shared<StreamEnd>(false, world_->capacity());
            StreamEnd::join(a, b);
            return insert_pair(a, b);
        }
        const auto a = std::make_shared<DatagramSocket>(world_->capacity());
        const auto b = std::make_shared<DatagramSocket>(world_->capacity());
        DatagramSocket::join(a, b);
        return insert_pair(a, b);
    }

    Result<FdPair> pipe() {
        const auto buffer = std::make_shared<PipeBuffer>();
        buffer->capacity = world_->capacity();
        return insert_pair(std::make_shared<PipeReader>(buffer),
                           std::make_shared<PipeWriter>(buffer));
    }

    Result<void> bind(int fd, const Endpoint& at) { return bind_as(fd, at, false); }

    Result<void> listen(int fd, const Endpoint& at, int backlog) {
        const auto object = world_->shared(fd);
        if (!object) return Error(EBADF, "listen", at.text());
        if (object->stream() == nullptr || !object->stream()->idle()) {
            return Error(EINVAL, "listen", at.text());
        }
        const auto listener = std::make_shared<ListenQueue>(static_cast<size_t>(backlog));
        listener->family = object->family;
        listener->local = object->local;
        world_->names[key(listener->local, true)] = listener;
        world_->replace(fd, listener);
        return {};
    }

    Result<int> listen_on(const Endpoint& at, const ListenOptions& options) {
        const int fd = *open(at.family(), SocketKind::stream);
        Result<void> done = bind_as(fd, at, options.reuse_port);
        if (done) done = listen(fd, at, options.backlog);
        if (done) return fd;
        close(fd);
        return Error(done.error().code(), "listen", at.text());
    }

    Result<Accepted> accept(int fd) {
        if (world_->accept_failure != 0) {
            return Error::on_fd(std::exchange(world_->accept_failure, 0), "accept", fd);
        }
        Object* const object = world_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "accept", fd);
        if (object->listener() == nullptr) return Error::on_fd(EINVAL, "accept", fd);
        auto end = object->listener()->pop();
        if (!end) return Error::on_fd(EAGAIN, "accept", fd);
        const Endpoint peer = end->peer;
        return Accepted{world_->insert(std::move(end)), peer};
    }

    Result<void> connect(int fd, const Endpoint& at) {
        const auto object = world_->shared(fd);
        if (!object) return Error(EBADF, "connect", at.text());
        if (DatagramSocket* const datagram = object->datagram()) {
            if (!at.is_ip() && !named(at, false)) return Error(ECONNREFUSED, "connect", at.text());
            if (!object->local && at.is_ip()) static_cast<void>(bind(fd, any_of(at)));
            datagram->peer = at;
            return {};
        }
        const auto end = std::static_pointer_cast<StreamEnd>(object->stream() ? object : nullptr);
        if (!end) return Error(EINVAL, "connect", at.text());
        if (end->connecting()) return Error(EALREADY, "connect", at.text());
        if (!end->idle()) return Error(EISCONN, "connect", at.text());
        world_->connects.push_back(at);
        if (at.family() == Family::unix_path) {
            const int code = finish_connect(*world_, end, at);
            if (code != 0) return Error(code, "connect", at.text());
            return {};
        }
        if (!end->local) end->local = Endpoint::ipv4_loopback(world_->next_port++);
        end->begin_connect();
        auto finish = [world = world_, end, at] {
            if (const int code = finish_connect(*world, end, at)) end->refuse(code);
        };
        if (world_->loses_connects(at)) return Error(EINPROGRESS, "connect", at.text());
        if (world_->holding()) {
            world_->hold(std::move(finish));
        } else {
            world_->schedule(Duration(), std::move(finish));
        }
        return Error(EINPROGRESS, "connect", at.text());
    }

    Result<int> connect_to(const Endpoint& at, const ConnectOptions& options) {
        const int fd = *open(at.family(), SocketKind::stream);
        if (options.source != nullptr) {
            const auto bound = bind(fd, *options.source);
            if (!bound && !options.best_effort_source) {
                close(fd);
                return bound.error();
            }
        }
        const auto done = connect(fd, at);
        if (done || done.error() == EINPROGRESS) return fd;
        close(fd);
        return done.error();
    }

    Result<void> shutdown(int fd, Shutdown how) {
        Object* const object = world_->find(fd);
        const int code = object == nullptr ? EBADF : object->shutdown(how);
        if (code != 0) return Error::on_fd(code, "shutdown", fd);
        return {};
    }

    void close(int fd) noexcept { world_->close(fd); }

    Result<Endpoint> local(int fd) {
        Object* const object = world_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getsockname", fd);
        return object->local;
    }
    Result<Endpoint> peer(int fd) {
        Object* const object = world_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getpeername", fd);
        if (!object->peer) return Error::on_fd(ENOTCONN, "getpeername", fd);
        return object->peer;
    }
    int error(int fd) noexcept {
        Object* const object = world_->find(fd);
        return object == nullptr ? EBADF : object->take_error();
    }

    IoResult read(int fd, std::span<std::byte> in) noexcept {
        Object* const object = world_->find(fd);
        return object == nullptr ? IoResult{0, EBADF} : object->read(in);
    }
    IoResult write(int fd, std::span<const std::byte> out) noexcept {
        ++world_->counters().writes;
        Object* const object = world_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() != nullptr && object->peer) return send_to(fd, out, object->peer);
        return object->write(out);
    }
    IoResult writev(int fd, std::span<const ConstBuffer> parts) noexcept {
        std::vector<std::byte> all;
        for (const ConstBuffer& part : parts) {
            const auto* const data = static_cast<const std::byte*>(part.data);
            all.insert(all.end(), data, data + part.size);
        }
        return write(fd, all);
    }
    IoResult send_to(int fd, std::span<const std::byte> out, const Endpoint& to) noexcept {
        Object* const object = world_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() == nullptr) return {0, EISCONN};
        if (!to) return write(fd, out);
        if (const int code = object->take_error()) return {0, code};
        if (out.size() > 65507) return {0, EMSGSIZE};
        if (DatagramSocket::is_broadcast(to) && !object->datagram()->broadcast) return {0, EACCES};
        if (!object->local && to.is_ip()) static_cast<void>(bind(fd, any_of(to)));
        if (DatagramSocket::is_for_many(to)) {
            world_->for_each([&](Object& each) {
                if (each.datagram() != nullptr && each.datagram()->hears(to)) {
                    each.datagram()->deliver(out, object->local);
                }
            });
        } else if (const auto receiver = named(to, false); receiver && knows(*receiver, *object)) {
            receiver->datagram()->deliver(out, object->local);
        } else if (object->peer) {
            object->datagram()->refuse();
        }
        return {out.size(), 0};
    }
    IoResult receive_from(int fd, std::span<std::byte> in, Datagram& from) noexcept {
        Object* const object = world_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() == nullptr) return {0, ENOTSOCK};
        return object->datagram()->receive(in, from);
    }

    BatchResult receive_batch(int fd, std::span<std::byte> in, size_t slot,
                              std::span<Datagram> from) noexcept {
        const size_t fitting = slot != 0 ? in.size() / slot : 0;
        const size_t most = std::min(from.size(), fitting);
        for (size_t i = 0; i < most; ++i) {
            const IoResult got = receive_from(fd, in.subspan(i * slot, slot), from[i]);
            if (!got) return {i, got.code};
        }
        return {most, 0};
    }
    BatchResult send_batch(int fd, std::span<const OutDatagram> out) noexcept {
        for (size_t i = 0; i < out.size(); ++i) {
            const std::span bytes(static_cast<const std::byte*>(out[i].data), out[i].size);
            const IoResult sent =
                send_to(fd, bytes, out[i].to != nullptr ? *out[i].to : Endpoint());
            if (!sent) return {i, sent.code};
        }
        return {out.size(), 0};
    }

    Result<void> join(int fd, const Endpoint& group, uint32_t) {
        auto* const groups = groups_of(fd);
        if (groups == nullptr) return Error(EBADF, "join", group.text());
        const auto member = std::find(groups->begin(), groups->end(), group.with_port(0));
        if (member != groups->end()) return Error(EADDRINUSE, "join", group.text());
        if (!DatagramSocket::is_group(group)) return Error(EINVAL, "join", group.text());
        groups->push_back(group.with_port(0));
        return {};
    }
    Result<void> leave(int fd, const Endpoint& group, uint32_t) {
        auto* const groups = groups_of(fd);
        if (groups == nullptr || std::erase(*groups, group.with_port(0)) == 0) {
            return Error(groups == nullptr ? EBADF : EADDRNOTAVAIL, "leave", group.text());
        }
        return {};
    }
    Result<void> join_source(int, const Endpoint& group, const Endpoint&, uint32_t) {
        return Error(ENOTSUP, "join", group.text());
    }
    Result<void> leave_source(int, const Endpoint& group, const Endpoint&, uint32_t) {
        return Error(ENOTSUP, "leave", group.text());
    }
    Result<void> set_multicast_hops(int fd, Family, int) { return check(fd); }
    Result<void> set_multicast_loop(int fd, Family, bool) { return check(fd); }
    Result<void> set_multicast_interface(int fd, Family, uint32_t) { return check(fd); }

    Result<void> set_broadcast(int fd, bool on) {
        Object* const object = world_->find(fd);
        if (object != nullptr && object->datagram()) object->datagram()->broadcast = on;
        return check(fd);
    }
    Result<void> set_reuse_address(int fd, bool on) {
        Object* const object = world_->find(fd);
        if (object != nullptr && object->datagram()) object->datagram()->share = on;
        return check(fd);
    }
    Result<void> set_reuse_port(int fd, bool on) { return set_reuse_address(fd, on); }
    Result<void> set_v6_only(int fd, bool) { return check(fd); }
    Result<void> set_no_delay(int fd, bool) { return check(fd); }
    static constexpr bool inherits_no_delay = false;
    Result<void> set_keep_alive(int fd, const KeepAlive&) { return check(fd); }
    Result<void> set_send_timeout(int fd, Duration) { return check(fd); }
    Result<void> set_receive_timeout(int fd, Duration) { return check(fd); }
    Result<void> set_mark(int fd, uint32_t) { return check(fd); }
    /// Nothing here ever blocks, so there is nothing to switch.
    Result<void> set_non_blocking(int fd, bool) { return check(fd); }
    Result<bool> listens(int fd) {
        Object* const object = world_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getsockopt", fd);
        return object->listener() != nullptr;
    }
    Result<void> set_receive_buffer(int fd, int size) {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_RCVBUF", fd);
        return check(fd);
    }
    Result<void> set_send_buffer(int fd, int size) {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_SNDBUF", fd);
        world_->set_capacity(fd, static_cast<size_t>(size));
        return check(fd);
    }
    Result<void> set_linger_reset(int fd, bool on) {
        if (Object* const object = world_->find(fd)) object->linger_reset = on;
        return check(fd);
    }

private:
    Result<void> check(int fd) {
        if (world_->find(fd) == nullptr) return Error::on_fd(EBADF, "setsockopt", fd);
        return {};
    }

    Result<FdPair> insert_pair(std::shared_ptr<Object> a, std::shared_ptr<Object> b) {
        const int first = world_->insert(std::move(a));
        return FdPair{first, world_->insert(std::move(b))};
    }

    static Endpoint any_of(const Endpoint& to) {
        return to.family() == Family::ipv4 ? Endpoint::ipv4_any(0) : Endpoint::ipv6_any(0);
    }
    // A connected socket hears its peer alone.
    static bool knows(const Object& receiver, const Object& sender) {
        return !receiver.peer || receiver.peer == sender.local;
    }
    std::vector<Endpoint>* groups_of(int fd) {
        Object* const object = world_->find(fd);
        return object != nullptr && object->datagram() ? &object->datagram()->groups : nullptr;
    }

    // Streams and datagrams have port numbers of their own.
    static std::string key(const Endpoint& at, bool stream) {
        return (stream ? "stream " : "datagram ") + std::string(at.text().view());
    }
    static std::shared_ptr<Object> named(ManualWorld& world, const Endpoint& at, bool stream) {
        const Endpoint wildcard = at.family() == Family::ipv4 ? Endpoint::ipv4_any(at.port())
                                                              : Endpoint::ipv6_any(at.port());
        for (const Endpoint& name : {at, wildcard}) {
            const auto found = world.names.find(key(name, stream));
            if (found == world.names.end()) continue;
            if (auto object = found->second.lock()) return object;
        }
        return nullptr;
    }
    std::shared_ptr<Object> named(const Endpoint& at, bool stream) {
        return named(*world_, at, stream);
    }

    Result<void> bind_as(int fd, const Endpoint& at, bool share) {
        const auto object = world_->shared(fd);
        if (!object) return Error(EBADF, "bind", at.text());
        if (object->local) return Error(EINVAL, "bind", at.text());
        Endpoint name = at;
        if (at.is_ip() && at.port() == 0) name = at.with_port(world_->next_port++);
        if (object->datagram() != nullptr) share = object->datagram()->share;
        auto& taken = world_->names[key(name, object->datagram() == nullptr)];
        if (!share && !taken.expired()) return Error(EADDRINUSE, "bind", at.text());
        object->local = name;
        taken = object;
        return {};
    }

    // Makes the connection, or says why not.
    static int finish_connect(ManualWorld& world, const std::shared_ptr<StreamEnd>& end,
                              const Endpoint& at) {
        const auto object = named(world, at, true);
        const bool path = at.family() == Family::unix_path;
        if (!object) return path ? ENOENT : ECONNREFUSED;
        if (object->listener() == nullptr) return ECONNREFUSED;
        if (object->listener()->full()) return path ? EAGAIN : ECONNREFUSED;
        const auto other = std::make_shared<StreamEnd>(!path, world.capacity());
        other->family = end->family;
        other->local = end->peer = at;
        other->peer = end->local;
        StreamEnd::join(end, other);
        object->listener()->push(other);
        return 0;
    }

    ManualWorld* world_;
};

}  // namespace rondo::test
