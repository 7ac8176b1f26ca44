// SPDX-License-Identifier: BSL-1.0
#pragma once
// SimTransfer: the part of SimSockets that moves bytes, joins groups and takes options.

#include <errno.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <rondo/core/result.hpp>
#include <rondo/sim/world.hpp>

namespace rondo::inline RONDO_ABI::sim {

class SimTransfer {
public:
    SimTransfer(World& world, Host& host) : world_(&world), host_(&host) {}

    IoResult read(int fd, std::span<std::byte> in) noexcept {
        Object* const object = host_->find(fd);
        if (object == nullptr) return {0, EBADF};
        return noted("read", fd, visit(*object, [&](auto& one) { return one.read(in); }));
    }
    IoResult write(int fd, std::span<const std::byte> out) noexcept {
        Object* const object = host_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() != nullptr && object->peer) return send_to(fd, out, object->peer);
        return noted("write", fd, visit(*object, [&](auto& one) { return one.write(out); }));
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
        Object* const object = host_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() == nullptr) return {0, EISCONN};
        if (!to) return write(fd, out);
        if (const int code = object->take_error()) return {0, code};
        if (out.size() > 65507) return {0, EMSGSIZE};
        if (DatagramSocket::is_broadcast(to) && !object->datagram()->broadcast) return {0, EACCES};
        if (!object->local && to.is_ip()) static_cast<void>(bind_as(fd, any_of(to), false));
        network().note("send", host_->index(), fd, static_cast<int64_t>(out.size()));
        if (DatagramSocket::is_for_many(to)) {
            world_->for_each_host([&](Host& host) {
                host.for_each([&](Object& each) {
                    if (each.datagram() == nullptr || !each.datagram()->hears(to)) return;
                    each.datagram()->deliver(out, object->local);
                });
            });
        } else {
            mail(*object->datagram(), out, to.unmapped());
        }
        return {out.size(), 0};
    }
    IoResult receive_from(int fd, std::span<std::byte> in, Datagram& from) noexcept {
        Object* const object = host_->find(fd);
        if (object == nullptr) return {0, EBADF};
        if (object->datagram() == nullptr) return {0, ENOTSOCK};
        return noted("receive", fd, object->datagram()->receive(in, from));
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

    // Groups.

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

    // Options.

    Result<void> set_broadcast(int fd, bool on) {
        Object* const object = host_->find(fd);
        if (object != nullptr && object->datagram()) object->datagram()->broadcast = on;
        return check(fd);
    }
    Result<void> set_reuse_address(int fd, bool on) {
        Object* const object = host_->find(fd);
        if (object != nullptr && object->datagram()) object->datagram()->share = on;
        return check(fd);
    }
    Result<void> set_reuse_port(int fd, bool on) { return set_reuse_address(fd, on); }
    Result<void> set_v6_only(int fd, bool on) {
        if (Object* const object = host_->find(fd)) object->dual_stack = !on;
        return check(fd);
    }
    Result<void> set_no_delay(int fd, bool) { return check(fd); }
    static constexpr bool inherits_no_delay = true;
    Result<void> set_keep_alive(int fd, const KeepAlive&) { return check(fd); }
    Result<void> set_send_timeout(int fd, Duration) { return check(fd); }
    Result<void> set_receive_timeout(int fd, Duration) { return check(fd); }
    Result<void> set_mark(int fd, uint32_t) { return check(fd); }
    /// Nothing here ever blocks, so there is nothing to switch.
    Result<void> set_non_blocking(int fd, bool) { return check(fd); }
    Result<bool> listens(int fd) {
        Object* const object = host_->find(fd);
        if (object == nullptr) return Error::on_fd(EBADF, "getsockopt", fd);
        return object->listener() != nullptr;
    }
    Result<void> set_receive_buffer(int fd, int size) {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_RCVBUF", fd);
        return check(fd);
    }
    Result<void> set_send_buffer(int fd, int size) {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_SNDBUF", fd);
        if (Object* const object = host_->find(fd)) {
            // As Linux, which gives no less than a few kilobytes (socket(7)).
            const size_t bytes = std::max<size_t>(static_cast<size_t>(size), 4608);
            visit(*object, [&](auto& one) { one.set_buffer(bytes); });
        }
        return check(fd);
    }
    Result<void> set_linger_reset(int fd, bool on) {
        if (Object* const object = host_->find(fd)) object->linger_reset = on;
        return check(fd);
    }

protected:
    Network& network() { return world_->network(); }
    size_t buffer() { return network().options.buffer; }

    static Endpoint any_of(const Endpoint& to) {
        return to.family() == Family::ipv4 ? Endpoint::ipv4_any(0) : Endpoint::ipv6_any(0);
    }
    Result<void> bind_as(int fd, const Endpoint& at, bool share) {
        const auto object = host_->shared(fd);
        if (!object) return Error(EBADF, "bind", at.text());
        if (object->local) return Error(EINVAL, "bind", at.text());
        if (at.is_ip() && !DatagramSocket::is_group(at) && !host_->has(at)) {
            return Error(EADDRNOTAVAIL, "bind", at.text());
        }
        const Endpoint name = at.is_ip() && at.port() == 0 ? at.with_port(host_->next_port()) : at;
        const bool stream = object->datagram() == nullptr;
        if (!stream) share = object->datagram()->share;
        const bool dual = object->dual_stack && name.with_port(0) == Endpoint::ipv6_any(0);
        const Endpoint also = dual ? Endpoint::ipv4_any(name.port()) : Endpoint();
        if (!host_->take_names(name, also, stream, object, share)) {
            return Error(EADDRINUSE, "bind", at.text());
        }
        object->local = name;
        return {};
    }

    World* world_;
    Host* host_;

private:
    Result<void> check(int fd) {
        if (host_->find(fd) == nullptr) return Error::on_fd(EBADF, "setsockopt", fd);
        return {};
    }
    std::vector<Endpoint>* groups_of(int fd) {
        Object* const object = host_->find(fd);
        return object != nullptr && object->datagram() ? &object->datagram()->groups : nullptr;
    }
    IoResult noted(const char* call, int fd, IoResult result) {
        if (!result.would_block()) {
            network().note(call, host_->index(), fd,
                           result.code != 0 ? -result.code : static_cast<int64_t>(result.bytes));
        }
        return result;
    }

    // To one receiver: lost, late, twice, or as it should be.
    void mail(DatagramSocket& from, std::span<const std::byte> out, const Endpoint& to) {
        Host* const there = world_->host_at(to.is_ip() ? to : Endpoint(), *host_);
        Host* const target = to.is_ip() ? there : host_;
        if (target == nullptr) return;
        const bool far = target != host_;
        if (far && network().is_cut(host_->index(), target->index())) return;
        if (far && network().strikes(&Faults::datagram_lost)) return;
        const int copies = far && network().strikes(&Faults::datagram_doubled) ? 2 : 1;
        Endpoint sender = from.local;
        if (sender.is_any()) {
            sender =
                far ? host_->address(sender.port(), to.family()) : loopback_like(to, sender.port());
        }
        for (int i = 0; i < copies; ++i) {
            const auto arrive = [self = from.weak_from_this(), target, to, sender, net = &network(),
                                 bytes = std::vector<std::byte>(out.begin(), out.end())] {
                const auto receiver = target->named(to, false, 0);
                const Endpoint seen =
                    receiver ? Host::seen_by(receiver->family, sender) : Endpoint();
                if (receiver && (!receiver->peer || receiver->peer == seen)) {
                    return receiver->datagram()->deliver(bytes, seen);
                }
                const auto origin = self.lock();
                if (origin && origin->peer) origin->refuse();
            };
            Instant unordered;
            if (far && network().strikes(&Faults::datagram_late)) {
                const Duration once = network().random.in(network().options.latency);
                network().after(once + network().random.in(network().options.latency), arrive);
            } else {
                network().carry(host_->index(), target->index(), out.size(), unordered, arrive);
            }
        }
    }
    static Endpoint loopback_like(const Endpoint& to, uint16_t port) {
        return to.family() == Family::ipv4 ? Endpoint::ipv4_loopback(port)
                                           : Endpoint::ipv6_loopback(port);
    }
};

}  // namespace rondo::inline RONDO_ABI::sim
