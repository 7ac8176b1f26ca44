// SPDX-License-Identifier: BSL-1.0
#pragma once
// The vocabulary between a loop and its poller: interest is what is asked, readiness is what is
// received, a token says for whom. The low bits agree with those of epoll(7) and poll(2), so that
// turning a native event into readiness is two instructions.

#include <stdint.h>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

/// What to watch a descriptor for: directions, and how. `edge`, `oneshot` and `write_first` are
/// fixed when the descriptor is added.
enum class Interest : uint8_t {
    none = 0,
    read = 0x01,         ///< bytes to read, a connection to accept, or the end of the stream
    priority = 0x02,     ///< out-of-band data; belongs to reading
    write = 0x04,        ///< room to write, or a connect that has finished
    edge = 0x10,         ///< report changes, not states; ENOTSUP where the poller can't
    oneshot = 0x20,      ///< report once, then be silent in both directions until modified
    write_first = 0x40,  ///< call the write handler before the read handler of the same turn
};

/// What a descriptor was found to be.
enum class Readiness : uint8_t {
    none = 0,
    readable = 0x01,
    priority = 0x02,
    writable = 0x04,
    error = 0x08,        ///< an error is pending: ask the socket
    hangup = 0x10,       ///< both directions are closed
    read_closed = 0x20,  ///< the peer has finished sending; there may still be bytes to read
};

template <class E>
inline constexpr bool is_flags = false;
template <>
inline constexpr bool is_flags<Interest> = true;
template <>
inline constexpr bool is_flags<Readiness> = true;

template <class E>
concept Flags = is_flags<E>;

template <Flags E>
constexpr E operator|(E a, E b) noexcept {
    return static_cast<E>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
template <Flags E>
constexpr E operator&(E a, E b) noexcept {
    return static_cast<E>(static_cast<uint8_t>(a) & static_cast<uint8_t>(b));
}
template <Flags E>
constexpr E operator^(E a, E b) noexcept {
    return static_cast<E>(static_cast<uint8_t>(a) ^ static_cast<uint8_t>(b));
}
template <Flags E>
constexpr E operator~(E a) noexcept {
    return static_cast<E>(~static_cast<unsigned>(a) & 0x7fU);
}
template <Flags E>
constexpr E& operator|=(E& a, E b) noexcept {
    return a = a | b;
}
template <Flags E>
constexpr E& operator&=(E& a, E b) noexcept {
    return a = a & b;
}

/// True if any of `bits` is set.
template <Flags E>
constexpr bool any(E value, E bits) noexcept {
    return (static_cast<uint8_t>(value) & static_cast<uint8_t>(bits)) != 0;
}

/// The directions of an interest, without how they are watched.
constexpr Interest directions(Interest interest) noexcept {
    return interest & (Interest::read | Interest::priority | Interest::write);
}
/// The part of an interest that is fixed when the descriptor is added.
constexpr Interest modes(Interest interest) noexcept {
    return interest & (Interest::edge | Interest::oneshot | Interest::write_first);
}

/// Who an event is for: a descriptor and the generation of its registration. A number that was
/// closed and reused has another generation, so a late event can't reach the wrong owner.
class Token {
public:
    constexpr Token() noexcept = default;
    constexpr Token(int fd, uint32_t generation) noexcept : fd_(fd), generation_(generation) {}

    static constexpr Token from_bits(uint64_t bits) noexcept {
        return {static_cast<int>(static_cast<uint32_t>(bits)), static_cast<uint32_t>(bits >> 32)};
    }
    /// Not a registration: the poller's own wake-up, or an event that it has swallowed.
    static constexpr Token wake_up() noexcept { return from_bits(~uint64_t{0}); }

    constexpr int fd() const noexcept { return fd_; }
    constexpr uint32_t generation() const noexcept { return generation_; }
    constexpr uint64_t bits() const noexcept {
        return uint64_t{generation_} << 32 | static_cast<uint32_t>(fd_);
    }

    friend constexpr bool operator==(Token, Token) noexcept = default;

private:
    int fd_ = 0;
    uint32_t generation_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
