// SPDX-License-Identifier: BSL-1.0
#pragma once
// Endpoint to sockaddr and back, the one place that knows both. The buffer is a union of the four
// kinds of sockaddr that an Endpoint can be, so no pointer is cast to another structure's type.
//
// It refuses families that Endpoint doesn't know: what comes from such a socket reads as "none".

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <span>
#include <string_view>

#include <rondo/config/platform.hpp>
#include <rondo/core/endpoint.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// The address family of socket(2); -1 if there is none.
constexpr int native_family(Family family) noexcept {
    switch (family) {
        case Family::ipv4:
            return AF_INET;
        case Family::ipv6:
            return AF_INET6;
        case Family::unix_path:
            return AF_UNIX;
        case Family::none:
            break;
    }
    return -1;
}

/// Room for an address that is handed to the kernel or filled by it.
class SocketAddress {
public:
    /// Room for the kernel to fill; `length()` is in and out.
    SocketAddress() noexcept { clear(); }

    void clear() noexcept {
        any_.sa_family = AF_UNSPEC;
        length_ = sizeof storage_;
    }

    /// Makes it the address of `at`; answers 0 or an errno: EINVAL for "none" and the unnamed Unix
    /// endpoint, ENAMETOOLONG if the system has less room for paths, ENOTSUP where there are no
    /// abstract names.
    [[nodiscard]] int assign(const Endpoint& at) noexcept {
        memset(&storage_, 0, sizeof storage_);
        switch (at.family()) {
            case Family::ipv4:
                ipv4_.sin_family = AF_INET;
                ipv4_.sin_port = htons(at.port());
                memcpy(&ipv4_.sin_addr, at.address().data(), 4);
                length_ = sizeof ipv4_;
                return 0;
            case Family::ipv6:
                ipv6_.sin6_family = AF_INET6;
                ipv6_.sin6_port = htons(at.port());
                ipv6_.sin6_scope_id = at.scope();
                memcpy(&ipv6_.sin6_addr, at.address().data(), 16);
                length_ = sizeof ipv6_;
                return 0;
            case Family::unix_path:
                return assign_unix(at);
            case Family::none:
                break;
        }
        return EINVAL;
    }

    /// What the kernel has filled in.
    Endpoint endpoint() const noexcept {
        if (length_ < offsetof(sockaddr_un, sun_path)) return {};  // "none": nothing was filled in
        switch (any_.sa_family) {
            case AF_INET: {
                uint8_t bytes[4];
                memcpy(bytes, &ipv4_.sin_addr, 4);
                return Endpoint::ipv4(bytes[0], bytes[1], bytes[2], bytes[3],
                                      ntohs(ipv4_.sin_port));
            }
            case AF_INET6: {
                uint8_t bytes[16];
                memcpy(bytes, &ipv6_.sin6_addr, 16);
                return Endpoint::ipv6(std::span<const uint8_t, 16>(bytes), ntohs(ipv6_.sin6_port),
                                      ipv6_.sin6_scope_id);
            }
            case AF_UNIX:
                return unix_endpoint();
            default:
                return {};
        }
    }

    sockaddr* data() noexcept { return &any_; }
    const sockaddr* data() const noexcept { return &any_; }
    socklen_t& length() noexcept { return length_; }
    socklen_t length() const noexcept { return length_; }

private:
    // unix(7), "Address format": the length of a path includes its terminator, that of an abstract
    // name is exact, for every byte counts.
    [[gnu::cold]] int assign_unix(const Endpoint& at) noexcept {
        const std::string_view path = at.path();
        if (at.is_abstract() && !RONDO_HAS_ABSTRACT_UNIX) return ENOTSUP;
        if (path.empty()) return EINVAL;
        if (path.size() >= sizeof unix_.sun_path) return ENAMETOOLONG;
        unix_.sun_family = AF_UNIX;
        memcpy(unix_.sun_path + (at.is_abstract() ? 1 : 0), path.data(), path.size());
        length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        return 0;
    }

    // The kernel may tell a length beyond the room it was given, and a path of 108 bytes has no
    // terminator; a name that Endpoint has no room for becomes the unnamed one.
    [[gnu::cold]] Endpoint unix_endpoint() const noexcept {
        const size_t told = length_ - offsetof(sockaddr_un, sun_path);
        const size_t size = told < sizeof unix_.sun_path ? told : sizeof unix_.sun_path;
        if (size == 0) return Endpoint::unix_unnamed();
        const std::string_view all(unix_.sun_path, size);
        const bool abstract = all[0] == '\0' && RONDO_HAS_ABSTRACT_UNIX;
        const auto at = abstract ? Endpoint::unix_abstract(all.substr(1))
                                 : Endpoint::unix_path(all.substr(0, all.find('\0')));
        return at ? *at : Endpoint::unix_unnamed();
    }

    union {
        sockaddr any_;
        sockaddr_in ipv4_;
        sockaddr_in6 ipv6_;
        sockaddr_un unix_;
        sockaddr_storage storage_;
    };
    socklen_t length_;
};

}  // namespace rondo::inline RONDO_ABI::detail
