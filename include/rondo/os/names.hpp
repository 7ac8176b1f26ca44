// SPDX-License-Identifier: BSL-1.0
#pragma once
// From names to addresses, by getaddrinfo: the one call of the system that blocks for as long as
// somebody else takes, and that therefore is not for the loop's thread.

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include <span>

#include <rondo/core/endpoint.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/socket_address.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// What getaddrinfo's answer means, as a code of an Error.
inline int name_code(int eai) noexcept {
#ifdef EAI_ADDRFAMILY
    if (eai == EAI_ADDRFAMILY) return no_such_address;
#endif
#ifdef EAI_NODATA
    if (eai == EAI_NODATA && eai != EAI_NONAME) return no_such_address;
#endif
    switch (eai) {
        case EAI_NONAME:
            return no_such_name;
        case EAI_AGAIN:
            return name_server_silent;
        case EAI_MEMORY:
            return ENOMEM;
        case EAI_FAMILY:
            return EAFNOSUPPORT;
        case EAI_SYSTEM:
            return errno != 0 ? errno : name_server_failed;
        default:
            return name_server_failed;
    }
}

/// The addresses of a name, as the system sorts them, as many as there is room for.
/// Threads: any.
inline Result<size_t> resolve_name(const char* name, uint16_t port, Family family,
                                   std::span<Endpoint> out) noexcept {
    addrinfo wanted = {};
    wanted.ai_family = family == Family::none ? AF_UNSPEC : native_family(family);
    wanted.ai_socktype = SOCK_STREAM;  // else each address comes once per kind
    addrinfo* found = nullptr;
    errno = 0;
    if (const int failed = getaddrinfo(name, nullptr, &wanted, &found); failed != 0) {
        return Error(name_code(failed), "resolve", name);
    }
    size_t count = 0;
    for (const addrinfo* at = found; at != nullptr && count < out.size(); at = at->ai_next) {
        SocketAddress address;
        if (at->ai_addrlen > address.length()) continue;
        memcpy(static_cast<void*>(address.data()), at->ai_addr, at->ai_addrlen);
        address.length() = at->ai_addrlen;
        const Endpoint endpoint = address.endpoint().with_port(port);
        if (endpoint.is_ip()) out[count++] = endpoint;
    }
    freeaddrinfo(found);
    if (count == 0) return Error(no_such_address, "resolve", name);
    return count;
}

}  // namespace rondo::inline RONDO_ABI::detail
