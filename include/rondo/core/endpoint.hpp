// SPDX-License-Identifier: BSL-1.0
#pragma once
// Where a socket is or wants to go: an IPv4 or IPv6 address with a port, the path of a Unix socket,
// or an abstract Unix name. A plain value without an OS header, so the same code names addresses of
// the kernel and of a simulated network; a sockaddr is made of it only in os/.
//
// It prints as a user would write it ("127.0.0.1:80", "[fe80::1%2]:80", "unix:/run/x.sock",
// "unix:@name") and reads back what it prints. It refuses to resolve: a host name or an interface
// name in the text is an error, not a query.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <span>
#include <string_view>

#include <rondo/config/version.hpp>
#include <rondo/core/error.hpp>
#include <rondo/core/ip_text.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/text.hpp>

namespace rondo::inline RONDO_ABI {

/// The family of a socket or an address; abstract Unix names belong to unix_path.
enum class Family : uint8_t { none, ipv4, ipv6, unix_path };

/// An address. A default-constructed one is "none": of no family, equal only to itself.
/// Threads: a value; externally synchronised.
/// Cost: 116 bytes, trivially copyable, no allocation anywhere.
class Endpoint {
public:
    /// The longest path or abstract name, in bytes (unix(7): 108, one of them the terminator or the
    /// leading NUL). A system with less room refuses a longer one when it is used.
    static constexpr size_t max_path = 107;

    constexpr Endpoint() noexcept = default;

    static constexpr Endpoint ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d,
                                   uint16_t port) noexcept {
        Endpoint at(Family::ipv4, 4, port, 0);
        at.data_[0] = a;
        at.data_[1] = b;
        at.data_[2] = c;
        at.data_[3] = d;
        return at;
    }
    /// 0.0.0.0: every IPv4 address of the machine.
    static constexpr Endpoint ipv4_any(uint16_t port) noexcept { return ipv4(0, 0, 0, 0, port); }
    static constexpr Endpoint ipv4_loopback(uint16_t port) noexcept {
        return ipv4(127, 0, 0, 1, port);
    }

    /// From the address's 16 bytes, most significant first. `scope` is the index of an interface
    /// (0: none), which a link-local address needs.
    static constexpr Endpoint ipv6(std::span<const uint8_t, 16> bytes, uint16_t port,
                                   uint32_t scope = 0) noexcept {
        Endpoint at(Family::ipv6, 16, port, scope);
        for (size_t i = 0; i < 16; ++i) at.data_[i] = bytes[i];
        return at;
    }
    /// [::]: every IPv6 address of the machine, and every IPv4 one if the socket is dual-stack.
    static constexpr Endpoint ipv6_any(uint16_t port) noexcept {
        return Endpoint(Family::ipv6, 16, port, 0);
    }
    static constexpr Endpoint ipv6_loopback(uint16_t port) noexcept {
        Endpoint at = ipv6_any(port);
        at.data_[15] = 1;
        return at;
    }

    /// The path of a Unix socket. One that begins with '@' is kept as "./@...", the same file,
    /// because '@' in front means an abstract name.
    /// Errors: EINVAL for an empty path or a NUL in it, ENAMETOOLONG.
    [[gnu::cold]] static Result<Endpoint> unix_path(std::string_view path) noexcept {
        const std::string_view here = path.substr(0, 1) == "@" ? "./" : "";
        if (path.empty() || path.find('\0') != path.npos) return Error(EINVAL, "unix path", path);
        if (here.size() + path.size() > max_path) return Error(ENAMETOOLONG, "unix path", path);
        Endpoint at(Family::unix_path, here.size() + path.size(), 0, 0);
        at.put(0, here);
        at.put(here.size(), path);
        return at;
    }
    /// An abstract Unix name (Linux; unix(7)): any bytes, without the leading NUL or '@'.
    /// Errors: EINVAL for an empty name, ENAMETOOLONG.
    [[gnu::cold]] static Result<Endpoint> unix_abstract(std::string_view name) noexcept {
        if (name.empty()) return Error(EINVAL, "unix name", name);
        if (name.size() > max_path) return Error(ENAMETOOLONG, "unix name", name);
        Endpoint at(Family::unix_path, name.size() + 1, 0, 0);
        at.put(1, name);
        return at;
    }
    /// The address of a Unix socket that was never bound, such as a client's or one of a pair.
    static constexpr Endpoint unix_unnamed() noexcept {
        return Endpoint(Family::unix_path, 0, 0, 0);
    }

    /// Reads "1.2.3.4:80", "[::1]:80", "[fe80::1%2]:80" (the number of the interface), "*:80"
    /// (every IPv4 address), "unix:/path" or "unix:@name".
    /// Errors: EINVAL or, for a long path, ENAMETOOLONG; the error's object is the text.
    [[gnu::cold]] static Result<Endpoint> parse(std::string_view text) noexcept {
        detail::TextReader in(text);
        if (in.take("unix:")) return parse_unix(in.rest(), text);
        Endpoint at;
        if (in.take("*:")) {
            at = ipv4_any(0);
        } else if (in.take("[")) {
            at = ipv6_any(0);
            if (!read_ipv6(in, at.data_) || (in.take("%") && !at.read_scope(in)) ||
                !in.take("]:")) {
                return malformed(text);
            }
        } else {
            at = ipv4_any(0);
            if (!read_ipv4(in, at.data_) || !in.take(":")) return malformed(text);
        }
        uint32_t port = 0;
        if (!in.take_decimal(65535, port) || !in.done()) return malformed(text);
        at.port_ = static_cast<uint16_t>(port);
        return at;
    }

    /// Appends the text that parse() reads back to an equal endpoint, cut to the room there is. Of
    /// no use to parse() are "none" and "unix:", which the default and the unnamed one print as.
    template <size_t N>
    [[gnu::cold]] void print(Text<N>& out) const noexcept {
        switch (family_) {
            case Family::none:
                out.append("none");
                return;
            case Family::unix_path:
                out.append(is_abstract() ? "unix:@" : "unix:").append(path());
                return;
            case Family::ipv4:
                detail::print_ipv4(out, data_);
                break;
            case Family::ipv6:
                out.append('[');
                detail::print_ipv6(out, data_);
                if (scope_ != 0) out.append('%').append_unsigned(scope_);
                out.append(']');
                break;
        }
        out.append(':').append_unsigned(port_);
    }
    /// The endpoint as text; every endpoint fits.
    Text<120> text() const noexcept {
        Text<120> out;
        print(out);
        return out;
    }

    constexpr Family family() const noexcept { return family_; }
    /// True unless this is "none".
    constexpr explicit operator bool() const noexcept { return family_ != Family::none; }
    constexpr bool is_ip() const noexcept {
        return family_ == Family::ipv4 || family_ == Family::ipv6;
    }
    /// The port in the host's byte order; 0 for Unix sockets.
    constexpr uint16_t port() const noexcept { return port_; }
    /// The same address with another port; a Unix endpoint has none and stays as it is.
    constexpr Endpoint with_port(uint16_t port) const noexcept {
        Endpoint at = *this;
        if (is_ip()) at.port_ = port;
        return at;
    }
    /// The 4 or 16 bytes of an IP address, most significant first; otherwise empty.
    /// Lifetime: that of the endpoint.
    constexpr std::span<const uint8_t> address() const noexcept {
        return {data_, is_ip() ? size_t{size_} : 0};
    }
    /// The interface of a link-local IPv6 address; 0: none.
    constexpr uint32_t scope() const noexcept { return scope_; }
    /// 0.0.0.0 or [::].
    constexpr bool is_any() const noexcept {
        for (const uint8_t byte : address()) {
            if (byte != 0) return false;
        }
        return is_ip();
    }
    /// The IPv4 endpoint inside an IPv4-mapped IPv6 one, which is what a dual-stack listener gives
    /// for an IPv4 peer; every other endpoint stays as it is.
    constexpr Endpoint unmapped() const noexcept {
        if (family_ != Family::ipv6 || !detail::is_ipv4_mapped(data_)) return *this;
        return ipv4(data_[12], data_[13], data_[14], data_[15], port_);
    }
    /// True for an abstract Unix name.
    constexpr bool is_abstract() const noexcept {
        return family_ == Family::unix_path && size_ != 0 && data_[0] == 0;
    }
    /// The path, or the abstract name without its leading NUL; empty for other families.
    /// Lifetime: that of the endpoint.
    std::string_view path() const noexcept {
        if (family_ != Family::unix_path) return {};
        const std::string_view all(reinterpret_cast<const char*>(data_), size_);
        return is_abstract() ? all.substr(1) : all;
    }

    friend constexpr bool operator==(const Endpoint& a, const Endpoint& b) noexcept {
        if (a.family_ != b.family_ || a.size_ != b.size_) return false;
        if (a.port_ != b.port_ || a.scope_ != b.scope_) return false;
        for (size_t i = 0; i < a.size_; ++i) {
            if (a.data_[i] != b.data_[i]) return false;
        }
        return true;
    }

private:
    constexpr Endpoint(Family family, size_t size, uint16_t port, uint32_t scope) noexcept
        : family_(family), size_(static_cast<uint8_t>(size)), port_(port), scope_(scope) {}

    [[gnu::cold]] static Error malformed(std::string_view text) noexcept {
        return {EINVAL, "parse endpoint", text};
    }

    static Result<Endpoint> parse_unix(std::string_view path, std::string_view text) noexcept {
        auto at = path.substr(0, 1) == "@" ? unix_abstract(path.substr(1)) : unix_path(path);
        if (!at) return Error(at.error().code(), "parse endpoint", text);
        return at;
    }

    constexpr bool read_scope(detail::TextReader& in) noexcept {
        return in.take_decimal(UINT32_MAX, scope_) && scope_ != 0;
    }

    void put(size_t at, std::string_view text) noexcept {
        if (!text.empty()) memcpy(data_ + at, text.data(), text.size());
    }

    Family family_ = Family::none;
    uint8_t size_ = 0;  // bytes of data_ in use
    uint16_t port_ = 0;
    uint32_t scope_ = 0;
    // An IP address, a path, or a NUL and an abstract name: as in a sockaddr.
    uint8_t data_[max_path + 1] = {};
};

static_assert(sizeof(Endpoint) == 116);

}  // namespace rondo::inline RONDO_ABI
