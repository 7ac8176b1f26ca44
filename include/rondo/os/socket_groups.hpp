// SPDX-License-Identifier: BSL-1.0
#pragma once
// Multicast: the groups that a socket belongs to, and how it sends to groups. Models SocketGroups
// of the poller's seam; PosixSockets inherits it.
//
// Membership goes by the calls of RFC 3678, which are the same for IPv4 and IPv6 and name an
// interface by its index. It refuses names and addresses of interfaces: if_nametoindex(3) has the
// number.

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <rondo/config/platform.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/error.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/socket_address.hpp>
#include <rondo/os/socket_options.hpp>

namespace rondo::inline RONDO_ABI {

/// `interface` is an index; 0 means the group's own scope, and without one the system's choice.
/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: the call and the group, "join 239.1.2.3:0: no such device"; ENOTSUP where there is no
/// such call.
class PosixSocketGroups : public PosixSocketOptions {
public:
    /// Receive what is sent to `group`.
    /// Errors: EINVAL if it is no group's address, EADDRINUSE if the socket belongs to it already.
    static Result<void> join(int fd, const Endpoint& group, uint32_t interface) noexcept {
#ifdef MCAST_JOIN_GROUP
        return change(fd, MCAST_JOIN_GROUP, "join", group, nullptr, interface);
#else
        return Error(ENOTSUP, "join", group.text());
#endif
    }

    /// Errors: EADDRNOTAVAIL if the socket doesn't belong to it.
    static Result<void> leave(int fd, const Endpoint& group, uint32_t interface) noexcept {
#ifdef MCAST_LEAVE_GROUP
        return change(fd, MCAST_LEAVE_GROUP, "leave", group, nullptr, interface);
#else
        return Error(ENOTSUP, "leave", group.text());
#endif
    }

    /// Receive what `source` sends to `group`; several sources may be joined, one by one.
    static Result<void> join_source(int fd, const Endpoint& group, const Endpoint& source,
                                    uint32_t interface) noexcept {
#ifdef MCAST_JOIN_SOURCE_GROUP
        return change(fd, MCAST_JOIN_SOURCE_GROUP, "join", group, &source, interface);
#else
        return Error(ENOTSUP, "join", source.text());
#endif
    }

    static Result<void> leave_source(int fd, const Endpoint& group, const Endpoint& source,
                                     uint32_t interface) noexcept {
#ifdef MCAST_LEAVE_SOURCE_GROUP
        return change(fd, MCAST_LEAVE_SOURCE_GROUP, "leave", group, &source, interface);
#else
        return Error(ENOTSUP, "leave", source.text());
#endif
    }

    /// How many routers what is sent to a group may pass, 0 to 255; 1, the system's default, stays
    /// on the network.
    static Result<void> set_multicast_hops(int fd, Family family, int hops) noexcept {
        if (hops < 0 || hops > 255) return Error::on_fd(EINVAL, "set multicast hops", fd);
        if (family == Family::ipv6) {
            return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, "set IPV6_MULTICAST_HOPS");
        }
        // An octet for IPv4: some systems take nothing else.
        return set(fd, IPPROTO_IP, IP_MULTICAST_TTL, static_cast<unsigned char>(hops),
                   "set IP_MULTICAST_TTL");
    }

    /// Whether members on this machine get what is sent to a group; they do by default.
    static Result<void> set_multicast_loop(int fd, Family family, bool on) noexcept {
        if (family == Family::ipv6) {
            return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, unsigned{on},
                       "set IPV6_MULTICAST_LOOP");
        }
        return set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, static_cast<unsigned char>(on ? 1 : 0),
                   "set IP_MULTICAST_LOOP");
    }

    /// Where what is sent to a group leaves the machine; 0: as the routes say.
    static Result<void> set_multicast_interface(int fd, Family family,
                                                uint32_t interface) noexcept {
        if (family == Family::ipv6) {
            return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, interface, "set IPV6_MULTICAST_IF");
        }
#if RONDO_HAS_IP_MREQN
        ip_mreqn request{};
        request.imr_ifindex = static_cast<int>(interface);
        return set(fd, IPPROTO_IP, IP_MULTICAST_IF, request, "set IP_MULTICAST_IF");
#else
        return unsupported(fd, interface != 0, "set IP_MULTICAST_IF");
#endif
    }

private:
#ifdef MCAST_JOIN_GROUP
    static int assign(sockaddr_storage& to, const Endpoint& at) noexcept {
        detail::SocketAddress address;
        if (!at.is_ip()) return EINVAL;
        const int code = address.assign(at);
        if (code == 0) memcpy(&to, address.data(), address.length());
        return code;
    }

    static Result<void> change(int fd, int option, const char* call, const Endpoint& group,
                               const Endpoint* source, uint32_t interface) noexcept {
        const uint32_t index = interface != 0 ? interface : group.scope();
        const int level = group.family() == Family::ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
        Result<void> changed;
        int code = 0;
        if (source == nullptr) {
            group_req request{};
            request.gr_interface = index;
            code = assign(request.gr_group, group);
            if (code == 0) changed = set(fd, level, option, request, call);
        } else {
            group_source_req request{};
            request.gsr_interface = index;
            code = assign(request.gsr_group, group);
            if (code == 0) code = assign(request.gsr_source, *source);
            if (code == 0) changed = set(fd, level, option, request, call);
        }
        if (code == 0) code = changed.error().code();
        if (code == 0) return {};
        return Error(code, call, group.text());
    }
#endif
};

}  // namespace rondo::inline RONDO_ABI
