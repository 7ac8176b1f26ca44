// SPDX-License-Identifier: BSL-1.0
#pragma once
// rondo 0.1.0 in one file: all headers from config to net, one after the other. It was made by
// tests/amalgamate.py; change the headers below include/rondo instead.

// ---- rondo/config/version.hpp

// The version of rondo, written here and nowhere else: CMake, Meson and the package recipes read
// these three lines.
//
// RONDO_ABI names the inline namespace that everything lives in. Two plug-ins of one process that
// were built with different versions, with a macro that changes what the code does, or one with and
// one without exceptions, therefore never run each other's functions.

#if __cplusplus < 202002L
#error "rondo is written in C++20: compile with -std=c++20 or later"
#endif

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 1
#define RONDO_VERSION_PATCH 0

#define RONDO_DETAIL_STR2(x) #x
#define RONDO_DETAIL_STR(x) RONDO_DETAIL_STR2(x)
#define RONDO_DETAIL_JOIN2(major, minor, patch, a, b, c) v##major##_##minor##_##patch##a##b##c
#define RONDO_DETAIL_JOIN(major, minor, patch, a, b, c) \
    RONDO_DETAIL_JOIN2(major, minor, patch, a, b, c)

/// The version as text: "0.1.0".
#define RONDO_VERSION                     \
    RONDO_DETAIL_STR(RONDO_VERSION_MAJOR) \
    "." RONDO_DETAIL_STR(RONDO_VERSION_MINOR) "." RONDO_DETAIL_STR(RONDO_VERSION_PATCH)

#ifdef RONDO_NO_ASSERT
#define RONDO_DETAIL_ASSERT _unchecked
#else
#define RONDO_DETAIL_ASSERT
#endif
#ifdef RONDO_TRACE_LOCATIONS
#define RONDO_DETAIL_TRACE _traced
#else
#define RONDO_DETAIL_TRACE
#endif
#ifdef __cpp_exceptions
#define RONDO_DETAIL_RAISE
#else
#define RONDO_DETAIL_RAISE _noexcept
#endif

/// The inline namespace of this version and of the macros that it was built with.
#define RONDO_ABI                                                                    \
    RONDO_DETAIL_JOIN(RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH, \
                      RONDO_DETAIL_ASSERT, RONDO_DETAIL_TRACE, RONDO_DETAIL_RAISE)

// ---- rondo/backend/readiness.hpp

// The vocabulary between a loop and its poller: interest is what is asked, readiness is what is
// received, a token says for whom. The low bits agree with those of epoll(7) and poll(2), so that
// turning a native event into readiness is two instructions.

#include <stdint.h>

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

// ---- rondo/core/child_status.hpp

// How a child process ended.

namespace rondo::inline RONDO_ABI {

/// The end of one child process.
struct ChildStatus {
    int pid = -1;
    bool signaled = false;  ///< ended by a signal rather than by exit
    int code = 0;           ///< the exit status, or the number of the signal
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/name_error.hpp

// Why a name has no address. Looking up names has failures that no errno says; an Error carries
// them as negative codes, which are the same on every system, and prints them as sentences.

#include <errno.h>

namespace rondo::inline RONDO_ABI {

/// Codes of an Error of resolve: `if (result.error() == rondo::no_such_name)`.
enum NameError : int {
    no_such_name = -1,        ///< nobody has that name
    no_such_address = -2,     ///< the name has no address of the family that was asked for
    name_server_silent = -3,  ///< nobody could be asked now; it may work later
    name_server_failed = -4,  ///< who was asked can't answer
};

namespace detail {

/// The sentence for a negative code.
constexpr const char* name_reason(int code) noexcept {
    switch (code) {
        case no_such_name:
            return "no such name";
        case no_such_address:
            return "the name has no such address";
        case name_server_silent:
            return "the name server doesn't answer";
        default:
            return "the name server failed";
    }
}

/// An errno for who knows nothing else; others stay as they are.
constexpr int errno_of(int code) noexcept {
    switch (code) {
        case no_such_name:
            return ENXIO;
        case no_such_address:
            return EADDRNOTAVAIL;
        case name_server_silent:
            return EAGAIN;
        case name_server_failed:
            return EIO;
        default:
            return code;
    }
}

}  // namespace detail

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/text.hpp

// A short text in place: what messages, addresses and dumps are built from without an allocation
// and without <string>. What doesn't fit is cut off; it never overflows and is always terminated.

#include <stddef.h>
#include <string.h>

#include <string_view>

namespace rondo::inline RONDO_ABI {

/// At most Capacity - 1 characters.
template <size_t Capacity>
class Text {
    static_assert(Capacity > 0, "a text needs room for its terminator");

public:
    Text() noexcept { data_[0] = '\0'; }
    explicit Text(std::string_view text) noexcept : Text() { append(text); }

    Text& append(std::string_view text) noexcept {
        const size_t room = Capacity - 1 - size_;
        const size_t length = text.size() < room ? text.size() : room;
        if (length != 0) memcpy(data_ + size_, text.data(), length);
        size_ += length;
        data_[size_] = '\0';
        return *this;
    }

    Text& append(char letter) noexcept { return append(std::string_view(&letter, 1)); }

    Text& append(long long number) noexcept {
        if (number < 0) append('-');
        const auto bits = static_cast<unsigned long long>(number);
        return append_unsigned(number < 0 ? 0 - bits : bits, 10);
    }

    Text& append(int number) noexcept { return append(static_cast<long long>(number)); }

    Text& append_unsigned(unsigned long long number, unsigned base = 10) noexcept {
        char digits[64];
        size_t at = sizeof digits;
        do {
            digits[--at] = "0123456789abcdef"[number % base];
            number /= base;
        } while (number != 0);
        return append(std::string_view(digits + at, sizeof digits - at));
    }

    /// Makes a capitalised word at `at` lower case, but leaves "RPC" and "I/O" alone.
    void lower_first(size_t at) noexcept {
        if (at >= size_ || data_[at] < 'A' || data_[at] > 'Z') return;
        const char next = data_[at + 1];  // the terminator at the latest
        if (next != ' ' && (next < 'a' || next > 'z')) return;
        data_[at] = static_cast<char>(data_[at] + ('a' - 'A'));
    }

    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const char* c_str() const noexcept { return data_; }
    std::string_view view() const noexcept { return {data_, size_}; }
    operator std::string_view() const noexcept { return view(); }

private:
    size_t size_ = 0;
    char data_[Capacity];
};

template <size_t Capacity>
bool operator==(const Text<Capacity>& a, std::string_view b) noexcept {
    return a.view() == b;
}
template <size_t A, size_t B>
bool operator==(const Text<A>& a, const Text<B>& b) noexcept {
    return a.view() == b.view();
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/error.hpp

// What went wrong: which call, on what, and the system's number for it. An Error is a value of one
// cache line that owns its text, so it can be kept, copied and handed to a handler without an
// allocation. It prints as "listen 127.0.0.1:80: permission denied".
//
// It refuses to be a class hierarchy or to know std::error_code; that conversion is a header of its
// own, <rondo/core/error_code.hpp>.

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <string_view>

namespace rondo::inline RONDO_ABI {

/// The outcome of a call that failed. A default-constructed Error means "no error".
class Error {
public:
    constexpr Error() noexcept = default;

    /// `call` must be a string literal (only the pointer is kept); `object` is copied and cut to 51
    /// bytes.
    [[gnu::cold]] Error(int code, const char* call, std::string_view object = {}) noexcept
        : call_(call), code_(code) {
        const size_t length =
            object.size() < sizeof object_ - 1 ? object.size() : sizeof object_ - 1;
        if (length != 0) memcpy(object_, object.data(), length);
        object_[length] = '\0';
    }

    /// The error of a call on a descriptor; the object reads "fd 7".
    [[gnu::cold]] static Error on_fd(int code, const char* call, int fd) noexcept {
        Text<24> object;
        object.append("fd ").append(fd);
        return {code, call, object.view()};
    }

    /// The errno value, or a NameError, which is negative; 0 when there is no error.
    constexpr int code() const noexcept { return code_; }
    /// The call that failed, such as "epoll_ctl".
    constexpr const char* call() const noexcept { return call_; }
    /// What it was called on, such as "fd 7" or "127.0.0.1:80"; may be empty.
    std::string_view object() const noexcept { return object_; }
    /// True if something failed.
    constexpr explicit operator bool() const noexcept { return code_ != 0; }

    /// "call object: reason", in lower case as part of a sentence.
    [[gnu::cold]] Text<192> message() const noexcept {
        Text<192> text;
        if (code_ == 0) return text.append("no error"), text;
        text.append(call_);
        if (object_[0] != '\0') text.append(" ").append(object());
        text.append(": ");
        if (code_ < 0) return text.append(detail::name_reason(code_)), text;
        const size_t reason_at = text.size();
        char buffer[96] = "";
        text.append(reason(strerror_r(code_, buffer, sizeof buffer), buffer));
        text.lower_first(reason_at);
        return text;
    }

private:
    // strerror_r comes in two shapes: GNU returns the text, POSIX fills the buffer.
    static const char* reason(const char* text, const char*) noexcept { return text; }
    static const char* reason(int, const char* buffer) noexcept { return buffer; }

    const char* call_ = "";
    int code_ = 0;
    char object_[52] = {};
};

static_assert(sizeof(void*) != 8 || sizeof(Error) == 64, "an Error is one cache line");

/// Two errors are equal if the code is the same.
constexpr bool operator==(const Error& a, const Error& b) noexcept { return a.code() == b.code(); }
/// `error == EADDRINUSE`.
constexpr bool operator==(const Error& error, int code) noexcept { return error.code() == code; }

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/ip_text.hpp

// Numeric IP addresses as text, both ways: dotted IPv4, and IPv6 as RFC 4291 reads it and RFC 5952
// prints it. Own code, because inet_pton lives in an OS header, takes no length, and core may not
// know either; and because a strict reader is the only one that a program can build policy on.
//
// It refuses what inet_aton once allowed (octal, hexadecimal and short forms of IPv4), and names.

#include <stddef.h>
#include <stdint.h>

#include <string_view>

namespace rondo::inline RONDO_ABI::detail {

// Takes pieces from the front of a text. A function that answers false has consumed something or
// not; whoever wants to try two readings copies the reader first.
class TextReader {
public:
    constexpr explicit TextReader(std::string_view text) noexcept : rest_(text) {}

    constexpr bool done() const noexcept { return rest_.empty(); }
    constexpr std::string_view rest() const noexcept { return rest_; }

    constexpr bool take(std::string_view expected) noexcept {
        if (rest_.substr(0, expected.size()) != expected) return false;
        rest_.remove_prefix(expected.size());
        return true;
    }

    // A decimal number up to `most`, without leading zeros: "010" is eight to some and ten to
    // others.
    constexpr bool take_decimal(uint32_t most, uint32_t& number) noexcept {
        uint64_t value = 0;
        size_t digits = 0;
        for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
            value = value * 10 + static_cast<uint64_t>(rest_[digits] - '0');
            if (value > most) return false;
        }
        if (digits == 0 || (digits > 1 && rest_[0] == '0')) return false;
        rest_.remove_prefix(digits);
        number = static_cast<uint32_t>(value);
        return true;
    }

    // One to four hexadecimal digits.
    constexpr bool take_group(uint16_t& group) noexcept {
        unsigned value = 0;
        size_t digits = 0;
        for (; digits < rest_.size(); ++digits) {
            const int digit = hex_digit(rest_[digits]);
            if (digit < 0) break;
            if (digits == 4) return false;
            value = value * 16 + static_cast<unsigned>(digit);
        }
        if (digits == 0) return false;
        rest_.remove_prefix(digits);
        group = static_cast<uint16_t>(value);
        return true;
    }

private:
    static constexpr int hex_digit(char c) noexcept {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    }

    std::string_view rest_;
};

constexpr bool read_ipv4(TextReader& in, uint8_t* bytes) noexcept {
    for (int i = 0; i < 4; ++i) {
        uint32_t number = 0;
        if (i != 0 && !in.take(".")) return false;
        if (!in.take_decimal(255, number)) return false;
        bytes[i] = static_cast<uint8_t>(number);
    }
    return true;
}

// Reads an IPv6 address without brackets and scope.
constexpr bool read_ipv6(TextReader& in, uint8_t* bytes) noexcept {
    uint16_t groups[8] = {};
    int count = 0;
    int gap = in.take("::") ? 0 : -1;  // the group that "::" stands before
    while (count < 8) {
        uint8_t tail[4] = {};
        TextReader dotted = in;
        if (count <= 6 && read_ipv4(dotted, tail)) {
            in = dotted;
            groups[count++] = static_cast<uint16_t>(tail[0] << 8 | tail[1]);
            groups[count++] = static_cast<uint16_t>(tail[2] << 8 | tail[3]);
            break;
        }
        if (!in.take_group(groups[count])) {
            if (gap == count) break;  // the address ends in "::"
            return false;
        }
        ++count;
        if (in.take("::")) {
            if (gap >= 0) return false;
            gap = count;
        } else if (count == 8 || !in.take(":")) {
            break;
        }
    }
    if ((gap >= 0) == (count == 8)) return false;  // "::" stands for one group at least
    for (int i = 0; i < count; ++i) {
        const auto at = 2 * static_cast<size_t>(gap >= 0 && i >= gap ? i + 8 - count : i);
        bytes[at] = static_cast<uint8_t>(groups[i] >> 8);
        bytes[at + 1] = static_cast<uint8_t>(groups[i] & 0xff);
    }
    return true;
}

template <size_t N>
[[gnu::cold]] void print_ipv4(Text<N>& out, const uint8_t* bytes) noexcept {
    for (int i = 0; i < 4; ++i) {
        if (i != 0) out.append('.');
        out.append_unsigned(bytes[i]);
    }
}

constexpr bool is_ipv4_mapped(const uint8_t* bytes) noexcept {
    for (int i = 0; i < 10; ++i) {
        if (bytes[i] != 0) return false;
    }
    return bytes[10] == 0xff && bytes[11] == 0xff;
}

// RFC 5952: lower case, no leading zeros, "::" for the longest run of two or more zero groups (the
// first of equals); section 5: a mapped IPv4 address is dotted.
template <size_t N>
[[gnu::cold]] void print_ipv6(Text<N>& out, const uint8_t* bytes) noexcept {
    if (is_ipv4_mapped(bytes)) {
        out.append("::ffff:");
        return print_ipv4(out, bytes + 12);
    }
    const auto group = [bytes](int i) {
        const auto at = 2 * static_cast<size_t>(i);
        return static_cast<unsigned>(bytes[at] << 8 | bytes[at + 1]);
    };
    int gap = 8;
    int gap_size = 1;
    for (int i = 0, run = 0; i < 8; ++i) {
        run = group(i) == 0 ? run + 1 : 0;
        if (run > gap_size) {
            gap_size = run;
            gap = i + 1 - run;
        }
    }
    for (int i = 0; i < 8; ++i) {
        if (i == gap) {
            out.append("::");
            i += gap_size - 1;
            continue;
        }
        if (i != 0 && i != gap + gap_size) out.append(':');
        out.append_unsigned(group(i), 16);
    }
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/config/assert.hpp

// RONDO_ASSERT(condition, "sentence") stops the program on a programming error and says what to do
// about it. It is on in every build. A failing system call, bad input or a lost peer is never an
// assertion: those are values of type Error.
//
// RONDO_NO_ASSERT removes the checks; define it for a whole program or not at all (it changes the
// inline namespace, so a mixture doesn't link). RONDO_ASSERT itself may be defined beforehand, the
// same in every file of a program; what it does must neither return nor throw.

#include <stdio.h>
#include <stdlib.h>

namespace rondo::inline RONDO_ABI::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void assertion_failed(const char* sentence,
                                                                    const char* condition,
                                                                    const char* file, int line) {
    fprintf(stderr, "rondo: %s (%s) at %s:%d\n", sentence, condition, file, line);
    fflush(stderr);
    abort();
}

}  // namespace rondo::inline RONDO_ABI::detail

#ifndef RONDO_ASSERT
#ifdef RONDO_NO_ASSERT
#define RONDO_ASSERT(condition, sentence) static_cast<void>(0)
#else
#define RONDO_ASSERT(condition, sentence) \
    ((condition) ? static_cast<void>(0)   \
                 : ::rondo::detail::assertion_failed(sentence, #condition, __FILE__, __LINE__))
#endif
#endif

// ---- rondo/config/platform.hpp

// What this operating system and this compiler have, as macros that are always 0 or 1. It is the
// only place that asks which system it is; everything else asks RONDO_HAS_*.
//
// Linux is verified. The BSDs, macOS and illumos are expected to work with PollPoller and
// SelectPoller, and are untested. Windows is out.

#if defined(__linux__)
#define RONDO_HAS_EPOLL 1
#define RONDO_HAS_EVENTFD 1
#define RONDO_HAS_PIDFD 1
#define RONDO_HAS_AFFINITY 1
#define RONDO_HAS_INHERITED_NO_DELAY 1  // TCP_NODELAY of the listening socket
#define RONDO_HAS_ABSTRACT_UNIX 1
#define RONDO_HAS_MMSG 1
#else
#define RONDO_HAS_EPOLL 0
#define RONDO_HAS_EVENTFD 0
#define RONDO_HAS_PIDFD 0
#define RONDO_HAS_AFFINITY 0
#define RONDO_HAS_INHERITED_NO_DELAY 0
#define RONDO_HAS_ABSTRACT_UNIX 0
#define RONDO_HAS_MMSG 0
#endif

#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define RONDO_HAS_ACCEPT4 1
#define RONDO_HAS_PIPE2 1
#define RONDO_HAS_PPOLL 1
#else
#define RONDO_HAS_ACCEPT4 0
#define RONDO_HAS_PIPE2 0
#define RONDO_HAS_PPOLL 0
#endif

// struct ip_mreqn, which names an interface by its index.
#if defined(__linux__) || defined(__FreeBSD__) || defined(__APPLE__)
#define RONDO_HAS_IP_MREQN 1
#else
#define RONDO_HAS_IP_MREQN 0
#endif

#if defined(__unix__) || defined(__APPLE__)
#define RONDO_HAS_POLL 1
#define RONDO_HAS_SELECT 1
#else
#define RONDO_HAS_POLL 0
#define RONDO_HAS_SELECT 0
#endif

// __libc_single_threaded of glibc 2.32.
#if defined(__linux__) && !defined(__ANDROID__) && __has_include(<sys/single_threaded.h>)
#define RONDO_HAS_SINGLE_THREADED 1
#else
#define RONDO_HAS_SINGLE_THREADED 0
#endif

#if defined(__cpp_exceptions)
#define RONDO_HAS_EXCEPTIONS 1
#else
#define RONDO_HAS_EXCEPTIONS 0
#endif

// A hint to the processor that a loop waits for another thread; nothing where there is none.
#if defined(__x86_64__) || defined(__i386__)
#define RONDO_SPIN_PAUSE() __builtin_ia32_pause()
#else
#define RONDO_SPIN_PAUSE() static_cast<void>(0)
#endif

// ---- rondo/core/raise.hpp

// The one place where rondo throws: std::system_error from Result::value() and from the
// constructor of EventLoop that opens its own poller. Built without exceptions, the same calls stop
// the program with the same sentence.
//
// <system_error> costs nothing here: <atomic>, which the posting queue needs, brings it along in
// libstdc++.

#include <stdio.h>
#include <stdlib.h>

#if RONDO_HAS_EXCEPTIONS
#include <system_error>
#endif

namespace rondo::inline RONDO_ABI::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void raise(const Error& error) {
#if RONDO_HAS_EXCEPTIONS
    Text<192> what(error.call());
    if (!error.object().empty()) what.append(" ").append(error.object());
    throw std::system_error(detail::errno_of(error.code()), std::generic_category(), what.c_str());
#else
    fprintf(stderr, "rondo: %s; check the Result before you take its value\n",
            error.message().c_str());
    fflush(stderr);
    abort();
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/core/result.hpp

// Result<T>: a value, or the Error that stands in its place. (std::expected is C++23.) Ask with
// `if (result)`, take the value with `*result`, or let value() throw.
//
// It refuses to hold references and has no monadic helpers.

#include <new>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// A T or an Error.
/// Errors: value() throws std::system_error (without exceptions it stops the program).
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}

    Result(const Error& error) noexcept : error_(error) {
        RONDO_ASSERT(error.code() != 0, "a Result is made of a value or of a real error");
    }

    Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : error_(other.error_) {
        if (!error_) ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    }

    /// Only where moving a T can't throw, which would leave neither the old value nor the new one.
    Result& operator=(Result&& other) noexcept
        requires std::is_nothrow_move_constructible_v<T>
    {
        if (this != &other) {
            this->~Result();
            ::new (static_cast<void*>(this)) Result(std::move(other));
        }
        return *this;
    }

    ~Result() {
        if (!error_) value_.~T();
    }

    explicit operator bool() const noexcept { return !error_; }
    /// The error; "no error" if there is a value.
    const Error& error() const noexcept { return error_; }

    T& operator*() & noexcept { return checked(); }
    T&& operator*() && noexcept { return std::move(checked()); }
    const T& operator*() const& noexcept { return const_cast<Result*>(this)->checked(); }
    T* operator->() noexcept { return &checked(); }
    const T* operator->() const noexcept { return &const_cast<Result*>(this)->checked(); }

    T& value() & {
        if (error_) detail::raise(error_);
        return value_;
    }
    const T& value() const& {
        if (error_) detail::raise(error_);
        return value_;
    }
    T value() && {
        if (error_) detail::raise(error_);
        return std::move(value_);
    }

private:
    T& checked() noexcept {
        RONDO_ASSERT(!error_, "look whether a Result holds a value before you take it");
        return value_;
    }

    Error error_;
    union {
        T value_;
    };
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() noexcept = default;
    Result(const Error& error) noexcept : error_(error) {
        RONDO_ASSERT(error.code() != 0, "a Result is made of a value or of a real error");
    }

    explicit operator bool() const noexcept { return !error_; }
    const Error& error() const noexcept { return error_; }
    void value() const {
        if (error_) detail::raise(error_);
    }

private:
    Error error_;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/endpoint.hpp

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

// ---- rondo/core/io_result.hpp

// What one read or write did: a count or an errno, in two registers. Reads and writes are the hot
// path, and "would block" is their everyday answer; an Error of 64 bytes is built only when
// somebody asks for it.

#include <errno.h>
#include <stddef.h>

namespace rondo::inline RONDO_ABI {

/// The outcome of one read, write, send or receive.
struct [[nodiscard]] IoResult {
    size_t bytes = 0;
    int code = 0;  ///< errno; 0 when the call succeeded

    /// True if the call succeeded; for a read, `bytes == 0` then means that the peer has finished.
    explicit operator bool() const noexcept { return code == 0; }
    /// True if there is nothing to do now, and readiness will tell when there is.
    bool would_block() const noexcept { return code == EAGAIN || code == EWOULDBLOCK; }
    /// The same as an Error on `fd`; `call` must be a string literal.
    Error error(const char* call, int fd) const noexcept { return Error::on_fd(code, call, fd); }
};

/// The outcome of a batch: so many datagrams were moved, and then `code` stopped it. With 0 and
/// less than was asked for, the next call tells why.
struct [[nodiscard]] BatchResult {
    size_t count = 0;
    int code = 0;  ///< errno

    bool would_block() const noexcept { return code == EAGAIN || code == EWOULDBLOCK; }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/time.hpp

// Durations and instants: 64-bit nanoseconds that saturate instead of wrapping. A Duration converts
// from every std::chrono duration (`500ms` works) although this header doesn't include <chrono>,
// which alone would cost more to compile than the rest of core.
//
// Fractions of a nanosecond are rounded up, so that nothing that waits is ever early. There is no
// clock here: only a poller reads one.

#include <stdint.h>

#include <compare>
#include <concepts>
#include <type_traits>

namespace rondo::inline RONDO_ABI {

namespace detail {

constexpr int64_t saturating_add(int64_t a, int64_t b) noexcept {
    int64_t sum = 0;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

constexpr int64_t saturating_sub(int64_t a, int64_t b) noexcept {
    int64_t difference = 0;
    if (!__builtin_sub_overflow(a, b, &difference)) return difference;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

constexpr int64_t saturating_mul(int64_t a, int64_t b) noexcept {
    int64_t product = 0;
    if (!__builtin_mul_overflow(a, b, &product)) return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

constexpr int64_t common_divisor(int64_t a, int64_t b) noexcept {
    return b == 0 ? a : common_divisor(b, a % b);
}

// a / b, rounded up.
constexpr int64_t divide_up(int64_t a, int64_t b) noexcept { return a / b + (a % b > 0 ? 1 : 0); }

// a * b / c, rounded up, for |a| < c. Where the product doesn't fit 64 bits, bit by bit.
constexpr int64_t scale_part_up(int64_t a, int64_t b, int64_t c) noexcept {
    int64_t product = 0;
    if (!__builtin_mul_overflow(a, b, &product)) return divide_up(product, c);
    const auto divisor = static_cast<uint64_t>(c);
    const auto step = static_cast<uint64_t>(a < 0 ? -a : a);
    int64_t quotient = 0;
    uint64_t rest = 0;  // below c, so twice as much fits
    const auto add = [&](uint64_t part) {
        rest += part;
        if (rest < divisor) return;
        rest -= divisor;
        ++quotient;
    };
    for (int bit = 62; bit >= 0; --bit) {
        quotient *= 2;
        add(rest);
        if ((b >> bit) % 2 != 0) add(step);
    }
    return a < 0 ? -quotient : quotient + (rest > 0 ? 1 : 0);
}

// count * num / den, rounded up; saturates.
constexpr int64_t scale_up(int64_t count, int64_t num, int64_t den) noexcept {
    return saturating_add(saturating_mul(count / den, num), scale_part_up(count % den, num, den));
}

template <class D>
concept ChronoDuration = requires(const D& d) {
    typename D::rep;
    d.count();
    D::period::num;
    D::period::den;
};

template <class D>
constexpr int64_t nanoseconds_of(const D& duration) noexcept {
    constexpr int64_t giga = 1'000'000'000;
    if constexpr (std::is_floating_point_v<typename D::rep>) {
        const auto ns = static_cast<long double>(duration.count()) * giga *
                        static_cast<long double>(D::period::num) /
                        static_cast<long double>(D::period::den);
        if (!(ns < 0x1p63L)) return INT64_MAX;  // what is not a number is a wait for ever
        if (ns <= -0x1p63L) return INT64_MIN;
        const auto whole = static_cast<int64_t>(ns);
        return whole + (ns > static_cast<long double>(whole) ? 1 : 0);
    } else {
        constexpr int64_t common = common_divisor(giga, D::period::den);
        constexpr int64_t den = D::period::den / common;
        constexpr int64_t per_den = saturating_mul(D::period::num, giga / common);
        static_assert(den == 1 || per_den < INT64_MAX,
                      "the period of this duration is too odd to be counted in nanoseconds");
        constexpr auto most = static_cast<uint64_t>(INT64_MAX);
        if constexpr (std::is_unsigned_v<typename D::rep>) {
            if (static_cast<uint64_t>(duration.count()) > most) return INT64_MAX;
        }
        const auto count = static_cast<int64_t>(duration.count());
        if constexpr (den == 1) {
            return saturating_mul(count, per_den);
        } else {
            return scale_up(count, per_den, den);
        }
    }
}

}  // namespace detail

/// A span of time in nanoseconds.
class Duration {
public:
    constexpr Duration() noexcept = default;
    /// From nanoseconds.
    constexpr explicit Duration(int64_t nanoseconds) noexcept : ns_(nanoseconds) {}
    /// From any std::chrono duration; rounds up and saturates.
    template <detail::ChronoDuration D>
    constexpr Duration(const D& duration) noexcept : ns_(detail::nanoseconds_of(duration)) {}

    static constexpr Duration seconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000'000'000));
    }
    static constexpr Duration milliseconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000'000));
    }
    static constexpr Duration microseconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000));
    }
    static constexpr Duration max() noexcept { return Duration(INT64_MAX); }

    /// Nanoseconds.
    constexpr int64_t ns() const noexcept { return ns_; }
    /// Whole milliseconds, rounded up (what poll(2) needs in order not to wake early).
    constexpr int64_t ms_rounded_up() const noexcept { return detail::divide_up(ns_, 1'000'000); }
    /// Whole microseconds, rounded up (what select(2) needs in order not to wake early).
    constexpr int64_t us_rounded_up() const noexcept { return detail::divide_up(ns_, 1'000); }

    friend constexpr auto operator<=>(Duration, Duration) noexcept = default;
    friend constexpr Duration operator+(Duration a, Duration b) noexcept {
        return Duration(detail::saturating_add(a.ns_, b.ns_));
    }
    friend constexpr Duration operator-(Duration a, Duration b) noexcept {
        return Duration(detail::saturating_sub(a.ns_, b.ns_));
    }
    friend constexpr Duration operator*(Duration a, int64_t n) noexcept {
        return Duration(detail::saturating_mul(a.ns_, n));
    }
    /// How many times `b` fits into `a`; `b` is not zero.
    friend constexpr int64_t operator/(Duration a, Duration b) noexcept {
        return b.ns_ == -1 ? detail::saturating_sub(0, a.ns_) : a.ns_ / b.ns_;
    }

private:
    int64_t ns_ = 0;
};

/// Longer than any wait: a timer handler that returns it is not called again.
inline constexpr Duration never = Duration::max();

/// A point on a poller's monotonic clock. Instants of different pollers can't be compared.
class Instant {
public:
    constexpr Instant() noexcept = default;
    /// From nanoseconds since the clock's own beginning.
    constexpr explicit Instant(int64_t nanoseconds) noexcept : ns_(nanoseconds) {}

    /// Before every reading of a clock: a deadline that has passed.
    static constexpr Instant min() noexcept { return Instant(INT64_MIN); }
    /// After every reading of a clock: no deadline.
    static constexpr Instant max() noexcept { return Instant(INT64_MAX); }

    constexpr int64_t ns() const noexcept { return ns_; }

    friend constexpr auto operator<=>(Instant, Instant) noexcept = default;
    friend constexpr Instant operator+(Instant t, Duration d) noexcept {
        return Instant(detail::saturating_add(t.ns_, d.ns()));
    }
    friend constexpr Instant operator-(Instant t, Duration d) noexcept {
        return Instant((Duration(t.ns_) - d).ns());
    }
    friend constexpr Duration operator-(Instant a, Instant b) noexcept {
        return Duration(a.ns_) - Duration(b.ns_);
    }

private:
    int64_t ns_ = 0;
};

constexpr Instant earlier(Instant a, Instant b) noexcept { return b < a ? b : a; }

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/socket_types.hpp

// The plain values that socket calls take and return, shared by every model of SocketApi: the
// kernel's and the simulated ones.

#include <stddef.h>
#include <stdint.h>

namespace rondo::inline RONDO_ABI {

/// How a socket carries bytes.
enum class SocketKind : uint8_t { stream, datagram };

/// The directions to close.
enum class Shutdown : uint8_t { read, write, both };

/// Two descriptors that belong together: the ends of a pair, or of a pipe (read, then write).
struct FdPair {
    int first = -1;
    int second = -1;
};

/// An accepted connection. The caller owns `fd`.
struct Accepted {
    int fd = -1;
    Endpoint peer;
};

/// A datagram's length and sender. `truncated` tells that the buffer was too small.
struct Datagram {
    size_t bytes = 0;
    bool truncated = false;
    Endpoint peer;
};

/// One datagram of a batch to send. Without an address it goes to the peer that the socket is
/// connected to.
struct OutDatagram {
    const void* data = nullptr;
    size_t size = 0;
    const Endpoint* to = nullptr;
};

/// Bytes to send; several go into one writev.
struct ConstBuffer {
    const void* data = nullptr;
    size_t size = 0;
};

/// TCP keep-alive: first probe after `idle`, then every `interval`; `count` lost ones end the
/// connection.
struct KeepAlive {
    Duration idle = Duration::seconds(300);
    Duration interval = Duration::seconds(100);
    int count = 3;
};

/// How to listen.
struct ListenOptions {
    int backlog = 511;        ///< connections that wait to be accepted; the kernel may clip it
    bool reuse_port = false;  ///< several sockets share the port, the kernel spreads connections
    bool dual_stack = false;  ///< an IPv6 wildcard also takes IPv4
    bool no_delay = false;    ///< TCP_NODELAY, which Linux hands on to accepted connections
    uint32_t unix_mode = 0;   ///< permissions of a Unix socket's file; 0 leaves the umask's
};

/// How to connect.
struct ConnectOptions {
    const Endpoint* source = nullptr;  ///< bind to this address first
    bool best_effort_source = false;   ///< if it can't be bound, connect without it
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/backend/poller.hpp

// The seam between a loop and an operating system: what a poller must be. A type that models
// Poller supplies readiness, the clock, the socket calls and a few services of the system, so that
// EventLoop<YourPoller> runs on it unchanged. A poller never holds or calls a handler, knows
// nothing of timers, and keeps only what its own kernel call needs; the loop remembers interests
// and merges their changes.
//
// The compiler checks the members below. It can't check the following, so a conformance suite does,
// with at least one test per number, for every poller (tests/backend/conformance*.cpp).
//
// P1  Time. now() never goes back. wait() returns by the deadline rounded up to what the kernel can
//     do, never before it, unless there is an event or a wake-up. Instant::max() waits for ever, a
//     deadline in the past asks without blocking, and a huge one saturates: a wait that the kernel
//     cuts short (24 days for epoll_wait) returns no events.
//
// P2  Changes. add, modify and remove are one system call each and act at once (a ring may hand
//     them over with the next wait). Errors of add come back from the call and change nothing:
//     EBADF for a descriptor that isn't open, EEXIST for one that is there already, ERANGE beyond
//     traits.fd_limit, ENOTSUP for edge or priority where the traits say no, EPERM for a regular
//     file unless traits.files_always_ready. modify answers ENOTSUP for priority alone, and also
//     changes nothing then: edge is fixed by add (P4). modify and remove of a descriptor that isn't
//     there answer ENOENT (or EBADF). The caller removes a descriptor before closing it, unless
//     traits.closing_removes: then closing alone ends the registration, for as long as no duplicate
//     of the descriptor lives.
//
// P3  Tokens. An event carries the token of the registration that it is for, as last given to add
//     or modify. After remove and a new add of the same number no event carries the old token,
//     except those that the previous wait has already handed out. Token::wake_up() is never a
//     registration: an event that carries it is to be ignored.
//
// P4  Level and edge. Without Interest::edge a state is reported by every wait for as long as it
//     lasts. With it, a change is reported once; modify (from == to included) reports a state that
//     still lasts again. Interest::oneshot reports once and then keeps the registration, silent in
//     all directions, until the next modify; a poller whose kernel has no such thing emulates it.
//     Both modes are fixed by add.
//
// P5  Hang-up and error. They are reported whatever directions are enabled, as long as one is. With
//     none enabled nothing is reported and nothing spins, also when the peer is gone. Readiness
//     tells readable, writable, priority, read-closed, hang-up and error apart as far as the kernel
//     does; traits.read_closed says whether read_closed is among that.
//
// P6  Waking. wake() may be called by any thread, makes the current wait (or the next one, if none
//     is running) return without an event of a registration, and coalesces: many calls, one return.
//     It never blocks and can't fail.
//
// P7  Interruption. A wait interrupted by a signal returns no events, and no error. It is not
//     restarted: the caller computes its deadline anew.
//
// P8  Batches. wait() fills at most out.size() events, at least one if there is any; out is never
//     empty. When more are ready than fit, the following waits report the others: none is starved
//     by its neighbours.
//
// After fork, abandon() in the child gives up the kernel objects, system().abandon() included,
// without touching what the parent shares; afterwards the destructor and every other call make no
// system call, and what can answer an error does. reopen() replaces the kernel's set by an empty
// one and keeps the rest: the loop adds every registration again when the kernel's set has got out
// of hand (a descriptor closed while a duplicate lives).

#include <concepts>
#include <span>

namespace rondo::inline RONDO_ABI {

/// What a poller can and can't do. A conformance case is left out for a poller only because of one
/// of these.
struct PollerTraits {
    bool edge = false;           ///< Interest::edge works (else add answers ENOTSUP)
    bool priority = false;       ///< Interest::priority works (else ENOTSUP)
    bool read_closed = false;    ///< Readiness::read_closed is reported
    bool native_handle = false;  ///< native_handle() is a descriptor a foreign loop can wait on
    bool files_always_ready = false;  ///< a regular file is always ready (else add answers EPERM)
    bool closing_removes = false;     ///< closing ends a registration, without remove()
    bool kernel = true;               ///< time, threads and signals are those of a real kernel
    int fd_limit = 0;                 ///< descriptors must be below this; 0: no limit
};

/// A native event: filled by the kernel in place, read through two functions.
template <class E>
concept PollerEvent = std::default_initializable<E> && requires(const E& event) {
    { event.token() } noexcept -> std::same_as<Token>;
    { event.readiness() } noexcept -> std::same_as<Readiness>;
};

/// Opening, connecting and closing. Every descriptor is non-blocking and close-on-exec.
template <class S>
concept SocketLifecycle =
    requires(S& s, int fd, Family family, SocketKind kind, Shutdown how, const Endpoint& at,
             const ListenOptions& listen, const ConnectOptions& connect) {
        { s.open(family, kind) } -> std::same_as<Result<int>>;
        { s.pair(kind) } -> std::same_as<Result<FdPair>>;
        { s.pipe() } -> std::same_as<Result<FdPair>>;
        { s.bind(fd, at) } -> std::same_as<Result<void>>;
        {
            s.listen(fd, at, fd)
        } -> std::same_as<Result<void>>;  // fd, where (for the message), backlog
        { s.listen_on(at, listen) } -> std::same_as<Result<int>>;
        { s.accept(fd) } -> std::same_as<Result<Accepted>>;   // EAGAIN: none is waiting
        { s.connect(fd, at) } -> std::same_as<Result<void>>;  // EINPROGRESS: writable when finished
        { s.connect_to(at, connect) } -> std::same_as<Result<int>>;  // in progress or connected
        { s.shutdown(fd, how) } -> std::same_as<Result<void>>;
        { s.close(fd) } noexcept;
        { s.local(fd) } -> std::same_as<Result<Endpoint>>;
        { s.peer(fd) } -> std::same_as<Result<Endpoint>>;
        { s.error(fd) } noexcept -> std::same_as<int>;  // SO_ERROR: read and cleared; 0: none
    };

/// Moving bytes. An interrupted call is repeated; a write to a closed peer is EPIPE, never SIGPIPE.
template <class S>
concept SocketTransfer =
    requires(S& s, int fd, std::span<std::byte> in, std::span<const std::byte> out,
             std::span<const ConstBuffer> parts, const Endpoint& to, Datagram& from, size_t slot,
             std::span<Datagram> many_in, std::span<const OutDatagram> many_out) {
        { s.read(fd, in) } noexcept -> std::same_as<IoResult>;
        { s.write(fd, out) } noexcept -> std::same_as<IoResult>;
        { s.writev(fd, parts) } noexcept -> std::same_as<IoResult>;
        { s.send_to(fd, out, to) } noexcept -> std::same_as<IoResult>;
        { s.receive_from(fd, in, from) } noexcept -> std::same_as<IoResult>;
        // Datagram i goes to in[i * slot], slot bytes at most; as many as both spans have room for.
        { s.receive_batch(fd, in, slot, many_in) } noexcept -> std::same_as<BatchResult>;
        { s.send_batch(fd, many_out) } noexcept -> std::same_as<BatchResult>;
    };

/// Options of a socket.
template <class S>
concept SocketOptions = requires(S& s, int fd, bool on, int size, Duration timeout, uint32_t mark,
                                 const KeepAlive& keep_alive) {
    { s.set_reuse_address(fd, on) } -> std::same_as<Result<void>>;
    { s.set_reuse_port(fd, on) } -> std::same_as<Result<void>>;
    { s.set_v6_only(fd, on) } -> std::same_as<Result<void>>;
    { s.set_no_delay(fd, on) } -> std::same_as<Result<void>>;
    { S::inherits_no_delay } -> std::convertible_to<bool>;  // who is accepted, from who listens
    { s.set_keep_alive(fd, keep_alive) } -> std::same_as<Result<void>>;
    { s.set_send_timeout(fd, timeout) } -> std::same_as<Result<void>>;
    { s.set_receive_timeout(fd, timeout) } -> std::same_as<Result<void>>;
    { s.set_send_buffer(fd, size) } -> std::same_as<Result<void>>;
    { s.set_receive_buffer(fd, size) } -> std::same_as<Result<void>>;
    { s.set_linger_reset(fd, on) } -> std::same_as<Result<void>>;  // close() resets
    { s.set_mark(fd, mark) } -> std::same_as<Result<void>>;
    { s.set_non_blocking(fd, on) } -> std::same_as<Result<void>>;
    { s.set_broadcast(fd, on) } -> std::same_as<Result<void>>;
    { s.listens(fd) } -> std::same_as<Result<bool>>;  // a stream socket that accepts
};

/// Multicast. An interface is named by its index; 0 leaves the choice to the system. A group's port
/// is of no meaning.
template <class S>
concept SocketGroups = requires(S& s, int fd, Family family, const Endpoint& group,
                                const Endpoint& source, uint32_t interface, int hops, bool on) {
    { s.join(fd, group, interface) } -> std::same_as<Result<void>>;
    { s.leave(fd, group, interface) } -> std::same_as<Result<void>>;
    { s.join_source(fd, group, source, interface) } -> std::same_as<Result<void>>;
    { s.leave_source(fd, group, source, interface) } -> std::same_as<Result<void>>;
    { s.set_multicast_hops(fd, family, hops) } -> std::same_as<Result<void>>;
    { s.set_multicast_loop(fd, family, on) } -> std::same_as<Result<void>>;
    { s.set_multicast_interface(fd, family, interface) } -> std::same_as<Result<void>>;
};

/// The socket calls of a poller's world.
template <class S>
concept SocketApi = SocketLifecycle<S> && SocketTransfer<S> && SocketOptions<S> && SocketGroups<S>;

/// The services of a poller's world. Signals: open_signals() gives one descriptor, owned by the
/// system, that is readable when a signal given to add_signal has arrived; take_signals() drains it
/// and answers a set with bit (n - 1) for signal n. Children: watch_child gives a descriptor that
/// is readable once that child may have ended; reap_child answers EAGAIN if it hasn't. Names:
/// resolve() looks a name up and fills `out` with what fits of its addresses, the best one first,
/// and says how many; at least one, else a NameError. It may block, and it alone, with
/// thread_token(), may be called by any thread, and by several at once, while the poller exists.
template <class S>
concept SystemApi = requires(S& s, int number, const char* name, uint16_t port, Family family,
                             std::span<Endpoint> out) {
    { s.thread_token() } noexcept -> std::same_as<uintptr_t>;  // never 0; one per thread
    { s.single_threaded() } noexcept -> std::same_as<bool>;    // false: there may be others
    { s.open_signals() } -> std::same_as<Result<int>>;
    { s.add_signal(number) } -> std::same_as<Result<void>>;
    { s.remove_signal(number) } noexcept;
    { s.take_signals() } noexcept -> std::same_as<uint64_t>;
    { s.watch_child(number) } -> std::same_as<Result<int>>;
    { s.reap_child(number) } -> std::same_as<Result<ChildStatus>>;
    { s.unwatch_child(number, number) } noexcept;  // pid, the descriptor of watch_child
    { s.resolve(name, port, family, out) } noexcept -> std::same_as<Result<size_t>>;
    { s.pin_thread(number) } -> std::same_as<Result<void>>;  // the calling one, to a processor
    { s.inherited_fds() } -> std::same_as<Result<int>>;      // how many, from descriptor 3 on
    { s.abandon() } noexcept;
};

/// Readiness: the part of a poller that changes and waits.
template <class P>
concept ReadinessSource =
    PollerEvent<typename P::Event> && requires(P& p, int fd, Interest interest, Token token,
                                               std::span<typename P::Event> out, Instant deadline) {
        { p.add(fd, interest, token) } -> std::same_as<Result<void>>;
        { p.modify(fd, interest, interest, token) } -> std::same_as<Result<void>>;  // from, to
        { p.remove(fd, interest) } -> std::same_as<Result<void>>;                   // from
        { p.wait(out, deadline) } -> std::same_as<Result<size_t>>;
        { p.wake() } noexcept;
    };

/// A source of readiness, of time and of sockets. See P1 to P8 above for what the compiler can't
/// check.
/// Threads: wake() from any thread; everything else from the loop's thread.
template <class P>
concept Poller = ReadinessSource<P> && SocketApi<typename P::Sockets> &&
                 SystemApi<typename P::System> && std::movable<P> && requires(P& p) {
                     { P::open() } -> std::same_as<Result<P>>;
                     { P::name() } noexcept -> std::same_as<const char*>;
                     { P::traits } -> std::same_as<const PollerTraits&>;
                     { p.now() } noexcept -> std::same_as<Instant>;
                     { p.sockets() } noexcept -> std::same_as<typename P::Sockets&>;
                     { p.system() } noexcept -> std::same_as<typename P::System&>;
                     { p.reopen() } -> std::same_as<Result<void>>;
                     { p.abandon() } noexcept;
                 };

/// A poller whose descriptor a foreign loop can wait on.
template <class P>
concept HasNativeHandle = P::traits.native_handle && requires(P& p) {
    { p.native_handle() } noexcept -> std::same_as<int>;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/clock.hpp

// The clock that pollers of real kernels share, and a Duration in the form that their waits take.
//
// Monotonic and nothing else: the wall clock can go back, and a reactor has no use for the date.

#include <time.h>

namespace rondo::inline RONDO_ABI {

/// CLOCK_MONOTONIC.
/// Threads: any.
inline Instant monotonic_now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant(int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec);
}

/// A wait that isn't negative, as ppoll(2) and pselect(2) take it. Cut at 10^8 seconds, the most
/// that the BSDs' select(2) accepts: three years later the caller waits again.
inline timespec wait_timespec(Duration wait) noexcept {
    constexpr Duration most = Duration::seconds(100'000'000);
    const int64_t ns = (wait < most ? wait : most).ns();
    timespec result{};
    result.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    result.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    return result;
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/fd.hpp

// Fd owns a kernel object that a poller or the system layer made for itself: an epoll instance, an
// eventfd, a pidfd. It closes it exactly once.
//
// It is not for users' sockets, which belong to a loop's handles and may not be real descriptors at
// all in a simulated world, and it refuses to report what close(2) says.

#include <errno.h>
#include <unistd.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

namespace detail {

// Never repeated: after EINTR Linux has already released the number (close(2), "Dealing with error
// returns from close()"), so a second close would hit whoever got that number in between. errno
// stays, so that cleaning up doesn't hide the reason for it.
[[gnu::noinline]] inline void close_fd(int fd) noexcept {
    const int saved = errno;
    ::close(fd);
    errno = saved;
}

}  // namespace detail

/// The only owner of a descriptor, or of none (-1).
/// Threads: externally synchronised.
class Fd {
public:
    constexpr Fd() noexcept = default;
    /// Takes over `fd`; a negative number owns nothing.
    constexpr explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~Fd() { reset(); }

    constexpr int get() const noexcept { return fd_; }
    /// True if it owns a descriptor.
    constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor to the caller without closing it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes what it owns and takes over `fd`, which must not be the descriptor that it owns
    /// already.
    void reset(int fd = -1) noexcept {
        const int old = std::exchange(fd_, fd);
        if (old >= 0) detail::close_fd(old);
    }

private:
    int fd_ = -1;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/socket_address.hpp

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

// ---- rondo/os/socket_transfer.hpp

// Moving bytes in and out of sockets, pipes and terminals, without SIGPIPE. Models SocketTransfer
// of the poller's seam; PosixSockets inherits it.
//
// Writing asks send(2) with MSG_NOSIGNAL first: most descriptors of a loop are sockets, and for
// them that is the whole cost. Anything else answers ENOTSOCK and goes on to pwritev2(2) with
// RWF_NOSIGNAL (Linux 6.18): a one-byte pipe write takes nearly twice as long as write(2). Where
// the flag is missing, SIGPIPE is blocked around the write and one that the write has caused is
// taken back: four to five more system calls, about four times as long.
//
// It refuses to change a signal's disposition, to remember what kind of descriptor it saw, and to
// loop until everything is written.

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <span>

namespace rondo::inline RONDO_ABI {

namespace detail {

// Without it (older macOS) the option SO_NOSIGPIPE is set on each socket instead.
#ifdef MSG_NOSIGNAL
inline constexpr int send_flags = MSG_NOSIGNAL;
#else
inline constexpr int send_flags = 0;
#endif

#ifdef IOV_MAX
inline constexpr size_t most_parts = IOV_MAX;
#else
inline constexpr size_t most_parts = 16;  // what POSIX guarantees
#endif

static_assert(sizeof(ConstBuffer) == sizeof(iovec) &&
                  offsetof(ConstBuffer, data) == offsetof(iovec, iov_base) &&
                  offsetof(ConstBuffer, size) == offsetof(iovec, iov_len),
              "writev hands its span to the kernel as it is");

// Runs a system call until no signal interrupts it.
template <class Call>
IoResult repeat(Call call) noexcept {
    for (;;) {
        const ssize_t count = call();
        if (count >= 0) return {static_cast<size_t>(count), 0};
        if (errno != EINTR) return {0, errno};
    }
}

// Keeps a SIGPIPE of the calling thread's own making from being delivered. write(2) sends it to the
// thread that writes, at once, so what is pending after the write and wasn't before is ours. One
// that was pending before is blocked already, and somebody else's to take.
class SigpipeBlock {
public:
    SigpipeBlock() noexcept {
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        if (was_pending_) return;
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    SigpipeBlock(const SigpipeBlock&) = delete;
    SigpipeBlock& operator=(const SigpipeBlock&) = delete;
    ~SigpipeBlock() {
        if (!was_pending_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

    // Takes the signal that a write caused by failing with EPIPE.
    void swallow() noexcept {
        if (was_pending_) return;
#if defined(_POSIX_REALTIME_SIGNALS) && _POSIX_REALTIME_SIGNALS > 0
        const timespec at_once{};
        while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
        }
#else
        sigset_t pending;
        int number = 0;
        sigpending(&pending);
        if (sigismember(&pending, SIGPIPE) == 1) sigwait(&pipe_, &number);
#endif
    }

private:
    bool was_pending_ = false;
    sigset_t pipe_;
    sigset_t before_;
};

// Five system calls, six when the peer has gone.
inline IoResult write_behind_mask(int fd, const iovec* parts, int count) noexcept {
    SigpipeBlock block;
    const IoResult result = repeat([=] { return ::writev(fd, parts, count); });
    if (result.code == EPIPE) block.swallow();
    return result;
}

// For what isn't a socket. RWF_NOSIGNAL (0x100, Linux 6.18) is newer than most C libraries; an
// older kernel, or a file that takes no flags, answers EOPNOTSUPP and has written nothing. Offset
// -1 is the file's own position (pwritev2(2)).
[[gnu::noinline]] inline IoResult write_no_signal(int fd, const iovec* parts, int count) noexcept {
#ifdef RWF_HIPRI
    constexpr int rwf_nosignal = 0x100;
    const IoResult result = repeat([=] { return ::pwritev2(fd, parts, count, -1, rwf_nosignal); });
    if (result.code != EOPNOTSUPP && result.code != ENOSYS) return result;
#endif
    return write_behind_mask(fd, parts, count);
}

}  // namespace detail

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: EAGAIN when there is nothing to do now; an interrupted call is repeated.
class PosixSocketTransfer {
public:
    /// Reads what there is, at most `in.size()` bytes; success with 0 bytes is the end of the
    /// stream (or an empty `in`).
    static IoResult read(int fd, std::span<std::byte> in) noexcept {
        return detail::repeat([=] { return ::read(fd, in.data(), in.size()); });
    }

    /// Writes at most `out.size()` bytes, to any kind of descriptor.
    /// Errors: EPIPE when the peer reads no longer, without a signal.
    /// Cost: one system call on a socket; see the top of this file for pipes and terminals.
    static IoResult write(int fd, std::span<const std::byte> out) noexcept {
        const IoResult sent =
            detail::repeat([=] { return ::send(fd, out.data(), out.size(), detail::send_flags); });
        if (sent.code != ENOTSOCK) return sent;
        const iovec part{const_cast<std::byte*>(out.data()), out.size()};
        return detail::write_no_signal(fd, &part, 1);
    }

    /// Writes several buffers to a stream in one go; what is beyond the system's IOV_MAX (1024)
    /// parts is left for the next call, like the rest of every partial write. Otherwise as write().
    static IoResult writev(int fd, std::span<const ConstBuffer> parts) noexcept {
        const auto* const first = reinterpret_cast<const iovec*>(parts.data());
        const size_t count = parts.size() < detail::most_parts ? parts.size() : detail::most_parts;
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(first);
        message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
        const IoResult sent =
            detail::repeat([&] { return ::sendmsg(fd, &message, detail::send_flags); });
        if (sent.code != ENOTSOCK) return sent;
        return detail::write_no_signal(fd, first, static_cast<int>(count));
    }

    /// Sends one datagram; to "none" means to the peer that the socket is connected to.
    /// Errors: EMSGSIZE for one that is too long, ECONNREFUSED if an earlier one found nobody.
    static IoResult send_to(int fd, std::span<const std::byte> out, const Endpoint& to) noexcept {
        if (!to) {
            return detail::repeat(
                [=] { return ::send(fd, out.data(), out.size(), detail::send_flags); });
        }
        detail::SocketAddress address;
        if (const int code = address.assign(to)) return {0, code};
        return detail::repeat([&] {
            return ::sendto(fd, out.data(), out.size(), detail::send_flags, address.data(),
                            address.length());
        });
    }

    /// Receives one datagram. `from.truncated` tells that it was longer than `in`; what didn't fit
    /// is lost. Both counts are of the bytes in `in`. A sender without a name is "none".
    static IoResult receive_from(int fd, std::span<std::byte> in, Datagram& from) noexcept {
        detail::SocketAddress address;
        iovec part{in.data(), in.size()};
        msghdr message{};
        message.msg_name = address.data();
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        const IoResult received = detail::repeat([&] {
            message.msg_namelen = address.length();
            return ::recvmsg(fd, &message, 0);
        });
        if (!received) return received;
        address.length() = message.msg_namelen;
        from.bytes = received.bytes;
        from.truncated = (message.msg_flags & MSG_TRUNC) != 0;
        from.peer = address.endpoint();
        return received;
    }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/socket_batches.hpp

// Datagrams in batches: one system call for many of them where the kernel has recvmmsg(2) and
// sendmmsg(2), one for each elsewhere. Models that part of SocketTransfer of the poller's seam;
// PosixSockets inherits it.
//
// A batch ends at the first datagram that can't be moved, and its error comes with the next call:
// the kernel tells of the datagrams before it and keeps the error (recvmmsg(2), sendmmsg(2)). It
// refuses to wait for a batch to fill.

#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace rondo::inline RONDO_ABI {

namespace detail {

#if RONDO_HAS_MMSG
// What the kernel is handed for a batch; 14 KiB of stack.
struct MessageBatch {
    static constexpr size_t max = 64;

    SocketAddress addresses[max];
    iovec parts[max];
    mmsghdr headers[max];

    void set(size_t i, void* data, size_t size, bool with_address) noexcept {
        parts[i] = {data, size};
        headers[i] = {};
        headers[i].msg_hdr.msg_iov = &parts[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        if (!with_address) return;
        headers[i].msg_hdr.msg_name = addresses[i].data();
        headers[i].msg_hdr.msg_namelen = addresses[i].length();
    }
};
#endif

}  // namespace detail

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: EAGAIN when there is nothing to do now; an interrupted call is repeated.
/// Cost: on Linux one system call for up to 64 datagrams, elsewhere one for each.
class PosixSocketBatches : public PosixSocketTransfer {
public:
    /// Receives what has come, as many as both spans have room for: datagram i is at
    /// `in[i * slot]`, and `from[i]` tells its length and sender, as receive_from() does.
    static BatchResult receive_batch(int fd, std::span<std::byte> in, size_t slot,
                                     std::span<Datagram> from) noexcept {
        const size_t fitting = slot != 0 ? in.size() / slot : 0;
        const size_t room = from.size() < fitting ? from.size() : fitting;
#if RONDO_HAS_MMSG
        detail::MessageBatch batch;
        const size_t most = room < batch.max ? room : batch.max;
        for (size_t i = 0; i < most; ++i) batch.set(i, in.data() + i * slot, slot, true);
        const IoResult got = detail::repeat(
            [&] { return ::recvmmsg(fd, batch.headers, static_cast<unsigned>(most), 0, nullptr); });
        for (size_t i = 0; i < got.bytes; ++i) {
            const mmsghdr& header = batch.headers[i];
            batch.addresses[i].length() = header.msg_hdr.msg_namelen;
            from[i].bytes = header.msg_len;
            from[i].truncated = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0;
            from[i].peer = batch.addresses[i].endpoint();
        }
        return {got.bytes, got.code};
#else
        for (size_t i = 0; i < room; ++i) {
            const IoResult got = receive_from(fd, in.subspan(i * slot, slot), from[i]);
            if (!got) return {i, got.code};
        }
        return {room, 0};
#endif
    }

    /// Sends the datagrams in their order, up to the first that can't be sent.
    /// Errors: those of send_to(), for the first datagram that wasn't sent.
    static BatchResult send_batch(int fd, std::span<const OutDatagram> out) noexcept {
#if RONDO_HAS_MMSG
        detail::MessageBatch batch;
        size_t count = 0;
        for (; count < out.size() && count < batch.max; ++count) {
            const OutDatagram& each = out[count];
            const bool named = each.to != nullptr && *each.to;
            const int code = named ? batch.addresses[count].assign(*each.to) : 0;
            if (code != 0 && count == 0) return {0, code};
            if (code != 0) break;
            batch.set(count, const_cast<void*>(each.data), each.size, named);
        }
        const IoResult sent = detail::repeat([&] {
            return ::sendmmsg(fd, batch.headers, static_cast<unsigned>(count), detail::send_flags);
        });
        return {sent.bytes, sent.code};
#else
        for (size_t i = 0; i < out.size(); ++i) {
            const std::span bytes(static_cast<const std::byte*>(out[i].data), out[i].size);
            const IoResult sent =
                send_to(fd, bytes, out[i].to != nullptr ? *out[i].to : Endpoint());
            if (!sent) return {i, sent.code};
        }
        return {out.size(), 0};
#endif
    }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/socket_options.hpp

// The options of a socket, each a function with a type instead of an int, a level and a length.
// Models SocketOptions of the poller's seam; PosixSockets inherits it.
//
// It refuses to remember or combine anything: one call is one option, and an error names it.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace rondo::inline RONDO_ABI {

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: the option and the descriptor, "set TCP_NODELAY fd 7: bad file descriptor".
class PosixSocketOptions {
public:
    /// Bind to a port whose old connections are still in TIME_WAIT.
    static Result<void> set_reuse_address(int fd, bool on) noexcept {
        return set(fd, SOL_SOCKET, SO_REUSEADDR, int{on}, "set SO_REUSEADDR");
    }

    /// Several sockets bind to one port; on Linux the kernel spreads connections over them.
    static Result<void> set_reuse_port(int fd, bool on) noexcept {
#ifdef SO_REUSEPORT
        return set(fd, SOL_SOCKET, SO_REUSEPORT, int{on}, "set SO_REUSEPORT");
#else
        return unsupported(fd, on, "set SO_REUSEPORT");
#endif
    }

    /// An IPv6 wildcard that leaves IPv4 alone. To be set before bind.
    static Result<void> set_v6_only(int fd, bool on) noexcept {
        return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, int{on}, "set IPV6_V6ONLY");
    }

    /// Small writes leave at once, without waiting for what is on its way (Nagle). Where
    /// `inherits_no_delay`, an accepted socket has it from the one that listens: Linux clones it.
    static Result<void> set_no_delay(int fd, bool on) noexcept {
        return set(fd, IPPROTO_TCP, TCP_NODELAY, int{on}, "set TCP_NODELAY");
    }
    static constexpr bool inherits_no_delay = RONDO_HAS_INHERITED_NO_DELAY;

    /// Probes an idle connection; a count of 0 turns the probes off. Times are rounded up to
    /// seconds. Linux takes 1 to 32767 seconds and a count up to 127 (else EINVAL). Where an
    /// interval or a count can't be set, the system's own stay.
    static Result<void> set_keep_alive(int fd, const KeepAlive& keep_alive) noexcept {
        const int on = keep_alive.count != 0 ? 1 : 0;
        if (on != 0) {
            // The numbers come first, so that a refused one doesn't leave probes at other times.
#if defined(TCP_KEEPIDLE)
            const auto idle =
                set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds_of(keep_alive.idle), "set TCP_KEEPIDLE");
            if (!idle) return idle;
#elif defined(TCP_KEEPALIVE)
            const auto idle = set(fd, IPPROTO_TCP, TCP_KEEPALIVE, seconds_of(keep_alive.idle),
                                  "set TCP_KEEPALIVE");
            if (!idle) return idle;
#endif
#if defined(TCP_KEEPINTVL)
            const auto interval = set(fd, IPPROTO_TCP, TCP_KEEPINTVL,
                                      seconds_of(keep_alive.interval), "set TCP_KEEPINTVL");
            if (!interval) return interval;
#endif
#if defined(TCP_KEEPCNT)
            const auto count =
                set(fd, IPPROTO_TCP, TCP_KEEPCNT, keep_alive.count, "set TCP_KEEPCNT");
            if (!count) return count;
#endif
        }
        return set(fd, SOL_SOCKET, SO_KEEPALIVE, on, "set SO_KEEPALIVE");
    }

    /// How long a blocking send may take; 0: for ever. Of no effect while the socket is
    /// non-blocking, which all of ours are: it is for a socket that is handed to blocking code.
    static Result<void> set_send_timeout(int fd, Duration timeout) noexcept {
        return set(fd, SOL_SOCKET, SO_SNDTIMEO, timeval_of(timeout), "set SO_SNDTIMEO");
    }

    /// How long a blocking receive may take; see set_send_timeout.
    static Result<void> set_receive_timeout(int fd, Duration timeout) noexcept {
        return set(fd, SOL_SOCKET, SO_RCVTIMEO, timeval_of(timeout), "set SO_RCVTIMEO");
    }

    /// Bytes; Linux doubles the number for its own use and clips it (socket(7)).
    static Result<void> set_send_buffer(int fd, int size) noexcept {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_SNDBUF", fd);
        return set(fd, SOL_SOCKET, SO_SNDBUF, size, "set SO_SNDBUF");
    }

    /// Bytes; see set_send_buffer. A listener's size is that of the connections it accepts.
    static Result<void> set_receive_buffer(int fd, int size) noexcept {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_RCVBUF", fd);
        return set(fd, SOL_SOCKET, SO_RCVBUF, size, "set SO_RCVBUF");
    }

    /// Closing resets the connection: what is queued is thrown away and the peer reads ECONNRESET.
    static Result<void> set_linger_reset(int fd, bool on) noexcept {
        linger value{};
        value.l_onoff = on ? 1 : 0;
        return set(fd, SOL_SOCKET, SO_LINGER, value, "set SO_LINGER");
    }

    /// A number for firewall and routing rules. Linux wants CAP_NET_ADMIN; ENOTSUP where there is
    /// none.
    static Result<void> set_mark(int fd, uint32_t mark) noexcept {
#if defined(SO_MARK)
        return set(fd, SOL_SOCKET, SO_MARK, mark, "set SO_MARK");
#elif defined(SO_USER_COOKIE)
        return set(fd, SOL_SOCKET, SO_USER_COOKIE, mark, "set SO_USER_COOKIE");
#elif defined(SO_RTABLE)
        return set(fd, SOL_SOCKET, SO_RTABLE, mark, "set SO_RTABLE");
#else
        return unsupported(fd, mark != 0, "set mark");
#endif
    }

    /// Datagrams may be sent to a broadcast address (else EACCES).
    static Result<void> set_broadcast(int fd, bool on) noexcept {
        return set(fd, SOL_SOCKET, SO_BROADCAST, int{on}, "set SO_BROADCAST");
    }

    /// For a descriptor that comes from elsewhere; ours are non-blocking from birth. Mind that the
    /// flag belongs to the open file, which a terminal or an inherited pipe shares with other
    /// processes.
    static Result<void> set_non_blocking(int fd, bool on) noexcept {
        const int flags = fcntl(fd, F_GETFL);
        if (flags < 0) return Error::on_fd(errno, "fcntl F_GETFL", fd);
        const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted == flags || fcntl(fd, F_SETFL, wanted) == 0) return {};
        return Error::on_fd(errno, "fcntl F_SETFL", fd);
    }

    /// Whether it is a stream socket that listens.
    static Result<bool> listens(int fd) noexcept {
        int value = 0;
        socklen_t length = sizeof value;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) != 0) {
            return Error::on_fd(errno, "get SO_TYPE", fd);
        }
        if (value != SOCK_STREAM) return false;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) != 0) {
            return Error::on_fd(errno, "get SO_ACCEPTCONN", fd);
        }
        return value != 0;
    }

    /// The error that is pending on the socket, which this call takes away; 0: none. A descriptor
    /// that can't be asked answers with the reason for that, such as EBADF.
    static int error(int fd) noexcept {
        int code = 0;
        socklen_t length = sizeof code;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno;
    }

protected:
    template <class T>
    static Result<void> set(int fd, int level, int option, const T& value,
                            const char* call) noexcept {
        if (setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
        return Error::on_fd(errno, call, fd);
    }

    [[maybe_unused]] static Result<void> unsupported(int fd, bool asked,
                                                     const char* call) noexcept {
        if (!asked) return {};
        return Error::on_fd(ENOTSUP, call, fd);
    }

private:
    static int seconds_of(Duration duration) noexcept {
        const int64_t whole = (duration.ms_rounded_up() + 999) / 1000;
        return whole < INT_MAX ? static_cast<int>(whole) : INT_MAX;
    }

    static timeval timeval_of(Duration duration) noexcept {
        const int64_t us = duration.us_rounded_up();
        timeval value{};
        value.tv_sec = static_cast<decltype(value.tv_sec)>(us / 1'000'000);
        value.tv_usec = static_cast<decltype(value.tv_usec)>(us % 1'000'000);
        return value;
    }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/socket_groups.hpp

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

// ---- rondo/os/posix_sockets.hpp

// The kernel's sockets, thinly: what a poller on a real kernel gives as its Sockets. Models
// SocketApi of the poller's seam, so that everything above can run on a simulated network instead.
//
// A descriptor is a plain int, non-blocking and close-on-exec from the system call that makes it.
// An error says which call failed and for which address ("bind 127.0.0.1:80: permission denied"),
// and no failing path keeps a descriptor. It refuses to resolve names, to own what it returns, to
// remove the file of a Unix socket that somebody else made, and to touch a signal's disposition.

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rondo::inline RONDO_ABI {

namespace detail {

// After these errors accept(2) has taken a connection off the queue that was dead already; the next
// one may be fine. Linux hands out the network errors of the new socket like this (accept(2),
// "Error handling"). Its list has EOPNOTSUPP too, which a socket that can't listen answers for
// ever.
constexpr bool accept_again(int code) noexcept {
    switch (code) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENETUNREACH:
#ifdef ENONET
        case ENONET:
#endif
            return true;
        default:
            return false;
    }
}

#ifdef SOCK_CLOEXEC
inline constexpr int socket_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
#else
inline constexpr int socket_flags = 0;
#endif

// Does what the flags above do, for systems without them.
inline int finish_descriptor(int fd) noexcept {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return errno;
#if defined(SO_NOSIGPIPE) && !defined(MSG_NOSIGNAL)
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);  // a pipe has no such option
#endif
    return 0;
}

}  // namespace detail

/// Socket calls. What returns an int returns a descriptor that the caller owns.
/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: the errno of the call that failed, its name, and the endpoint or "fd 7".
/// Cost: as many system calls as are named, and no allocation.
class PosixSockets : public PosixSocketGroups, public PosixSocketBatches {
public:
    /// socket(2).
    /// Errors: EAFNOSUPPORT, EMFILE and others.
    [[gnu::cold]] static Result<int> open(Family family, SocketKind kind) noexcept {
        constexpr const char* names[] = {"none", "ipv4", "ipv6", "unix"};
        const char* const name = names[static_cast<int>(family)];
        const int native = detail::native_family(family);
        if (native < 0) return Error(EAFNOSUPPORT, "socket", name);
        Fd fd(::socket(native, native_kind(kind) | detail::socket_flags, 0));
        if (!fd) return Error(errno, "socket", name);
        if constexpr (detail::socket_flags == 0) {
            const int code = detail::finish_descriptor(fd.get());
            if (code != 0) return Error(code, "fcntl", name);
        }
        return fd.release();
    }

    /// Two connected Unix sockets.
    [[gnu::cold]] static Result<FdPair> pair(SocketKind kind) noexcept {
        int ends[2];
        if (::socketpair(AF_UNIX, native_kind(kind) | detail::socket_flags, 0, ends) != 0) {
            return Error(errno, "socketpair");
        }
        return finished(ends, detail::socket_flags != 0);
    }

    /// A pipe: `first` reads, `second` writes.
    [[gnu::cold]] static Result<FdPair> pipe() noexcept {
        int ends[2];
#if RONDO_HAS_PIPE2
        if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return Error(errno, "pipe2");
#else
        if (::pipe(ends) != 0) return Error(errno, "pipe");
#endif
        return finished(ends, RONDO_HAS_PIPE2);
    }

    [[gnu::cold]] static Result<void> bind(int fd, const Endpoint& at) noexcept {
        detail::SocketAddress address;
        if (const int code = address.assign(at)) return Error(code, "bind", at.text());
        if (::bind(fd, address.data(), address.length()) == 0) return {};
        return Error(errno, "bind", at.text());
    }

    /// `at` is only for the message.
    [[gnu::cold]] static Result<void> listen(int fd, const Endpoint& at, int backlog) noexcept {
        if (::listen(fd, backlog) == 0) return {};
        return Error(errno, "listen", at.text());
    }

    /// A socket that listens: TCP, with SO_REUSEADDR, or Unix. A Unix socket's file gets its mode
    /// before anybody can connect, and stays when the socket is closed: remove it before the next
    /// start.
    /// Errors: EADDRINUSE also for a file that is there already, EADDRNOTAVAIL, EACCES, EMFILE...
    [[gnu::cold]] static Result<int> listen_on(const Endpoint& at,
                                               const ListenOptions& options) noexcept {
        const auto opened = open(at.family(), SocketKind::stream);
        if (!opened) return Error(opened.error().code(), "socket", at.text());
        Fd fd(*opened);
        if (at.is_ip()) {
            if (auto ok = prepare_tcp_listener(fd.get(), at, options); !ok) return ok.error();
        }
        if (auto bound = bind(fd.get(), at); !bound) return bound.error();
        auto listening = set_mode(at, options.unix_mode);
        if (listening) listening = listen(fd.get(), at, options.backlog);
        if (!listening) {
            if (has_file(at)) ::unlink(path_of(at).c_str());
            return listening.error();
        }
        return fd.release();
    }

    /// The next connection that waits. One that died while it waited is passed over.
    /// Errors: EAGAIN if none is waiting; EMFILE, ENFILE, ENOBUFS and ENOMEM leave it in the queue.
    static Result<Accepted> accept(int fd) noexcept {
        detail::SocketAddress from;
        for (;;) {
            from.clear();
#if RONDO_HAS_ACCEPT4
            Fd accepted(::accept4(fd, from.data(), &from.length(), detail::socket_flags));
#else
            Fd accepted(::accept(fd, from.data(), &from.length()));
#endif
            if (accepted) {
#if !RONDO_HAS_ACCEPT4
                const int code = detail::finish_descriptor(accepted.get());
                if (code != 0) return Error::on_fd(code, "fcntl", accepted.get());
#endif
                return Accepted{accepted.release(), from.endpoint()};
            }
            if (!detail::accept_again(errno)) return Error::on_fd(errno, "accept", fd);
        }
    }

    /// Success: connected. EINPROGRESS: the socket is writable when it is decided, and error()
    /// tells how.
    /// Errors: on a Unix socket EAGAIN means that the listener's queue is full; nothing is in
    /// progress.
    static Result<void> connect(int fd, const Endpoint& at) noexcept {
        detail::SocketAddress address;
        if (const int code = address.assign(at)) return Error(code, "connect", at.text());
        if (::connect(fd, address.data(), address.length()) == 0) return {};
        // An interrupted connect goes on by itself (connect(2)), just like one in progress.
        return Error(errno == EINTR ? EINPROGRESS : errno, "connect", at.text());
    }

    /// A stream socket that is connected or connecting: wait until it is writable, then ask
    /// error(). With `best_effort_source`, an attempt that fails at once is repeated without the
    /// source address.
    static Result<int> connect_to(const Endpoint& at, const ConnectOptions& options) noexcept {
        auto attempt = connect_from(options.source, at);
        if (attempt || options.source == nullptr || !options.best_effort_source) return attempt;
        return connect_from(nullptr, at);
    }

    static Result<void> shutdown(int fd, Shutdown how) noexcept {
        const int native = how == Shutdown::read    ? SHUT_RD
                           : how == Shutdown::write ? SHUT_WR
                                                    : SHUT_RDWR;
        if (::shutdown(fd, native) == 0) return {};
        return Error::on_fd(errno, "shutdown", fd);
    }

    /// Closes once; -1 is nothing to close. Remove the descriptor from its loop first.
    static void close(int fd) noexcept {
        if (fd >= 0) detail::close_fd(fd);
    }

    /// The socket's own address, such as the port that the kernel picked for port 0.
    [[gnu::cold]] static Result<Endpoint> local(int fd) noexcept {
        detail::SocketAddress address;
        if (::getsockname(fd, address.data(), &address.length()) == 0) return address.endpoint();
        return Error::on_fd(errno, "getsockname", fd);
    }

    /// Errors: ENOTCONN.
    [[gnu::cold]] static Result<Endpoint> peer(int fd) noexcept {
        detail::SocketAddress address;
        if (::getpeername(fd, address.data(), &address.length()) == 0) return address.endpoint();
        return Error::on_fd(errno, "getpeername", fd);
    }

private:
    static int native_kind(SocketKind kind) noexcept {
        return kind == SocketKind::stream ? SOCK_STREAM : SOCK_DGRAM;
    }

    static Result<FdPair> finished(const int (&ends)[2], bool born_with_flags) noexcept {
        Fd first(ends[0]);
        Fd second(ends[1]);
        for (const int end : ends) {
            const int code = born_with_flags ? 0 : detail::finish_descriptor(end);
            if (code != 0) return Error::on_fd(code, "fcntl", end);
        }
        return FdPair{first.release(), second.release()};
    }

    [[gnu::cold]] static Result<void> prepare_tcp_listener(int fd, const Endpoint& at,
                                                           const ListenOptions& options) noexcept {
        auto ok = set_reuse_address(fd, true);
        if (ok && options.reuse_port) ok = set_reuse_port(fd, true);
        if (ok && options.no_delay) ok = set_no_delay(fd, true);
        if (ok && at.family() == Family::ipv6) ok = set_v6_only(fd, !options.dual_stack);
        return ok;
    }

    static bool has_file(const Endpoint& at) noexcept {
        return at.family() == Family::unix_path && !at.is_abstract();
    }

    static Text<Endpoint::max_path + 1> path_of(const Endpoint& at) noexcept {
        return Text<Endpoint::max_path + 1>(at.path());
    }

    // Between bind and listen, when connecting is still refused.
    [[gnu::cold]] static Result<void> set_mode(const Endpoint& at, uint32_t mode) noexcept {
        if (mode == 0 || !has_file(at)) return {};
        if (::chmod(path_of(at).c_str(), static_cast<mode_t>(mode)) == 0) return {};
        return Error(errno, "chmod", at.text());
    }

    static Result<int> connect_from(const Endpoint* source, const Endpoint& at) noexcept {
        const auto opened = open(at.family(), SocketKind::stream);
        if (!opened) return Error(opened.error().code(), "socket", at.text());
        Fd fd(*opened);
        if (source != nullptr) {
            if (auto bound = bind_source(fd.get(), *source); !bound) return bound.error();
        }
        const auto connected = connect(fd.get(), at);
        if (!connected && connected.error() != EINPROGRESS) return connected.error();
        return fd.release();
    }

    // A fixed port may be in TIME_WAIT from the last time. For port 0, IP_BIND_ADDRESS_NO_PORT
    // (ip(7), Linux 4.2) leaves the choice to connect, which only needs it to be free towards that
    // peer; without the option a client address has 28 thousand ports for all its peers together.
    static Result<void> bind_source(int fd, const Endpoint& source) noexcept {
        if (source.is_ip() && source.port() != 0) {
            if (auto ok = set_reuse_address(fd, true); !ok) return ok;
        }
#ifdef IP_BIND_ADDRESS_NO_PORT
        if (source.is_ip() && source.port() == 0) {
            const int on = 1;
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        }
#endif
        return bind(fd, source);
    }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/memory.hpp

// Where memory comes from. A Memory policy is a stateless type with two static functions, so that a
// program can count, limit or replace what the library allocates at compile time and at no cost.
//
// allocate() answers nullptr when there is nothing left; it never throws.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <concepts>

namespace rondo::inline RONDO_ABI {

/// A source of memory. `alignment` is a power of two of up to 16 KiB, and must be honoured: a task
/// finds the head of its slab by its own address.
template <class M>
concept Memory = requires(void* address, size_t size, size_t alignment) {
    { M::allocate(size, alignment) } noexcept -> std::same_as<void*>;
    { M::release(address, size, alignment) } noexcept;
};

/// The C library's heap.
struct Malloc {
    static void* allocate(size_t size, size_t alignment) noexcept {
        if (alignment <= alignof(max_align_t)) return malloc(size);
        if (size > SIZE_MAX - alignment) return nullptr;
        return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    }
    static void release(void* address, size_t, size_t) noexcept { free(address); }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/signal_lock.hpp

// The lock of the signal hub: held for a few system calls while somebody adds or removes a signal,
// never taken by a signal handler. Signals are blocked as long as it is held, so that no handler of
// the user can keep it by leaving with longjmp.
//
// It remembers the process that holds it: one that another thread of the parent held during fork(2)
// belongs to nobody in the child. It is no <mutex>, which can't do that.

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>

namespace rondo::inline RONDO_ABI::detail {

class SignalLock {
public:
    explicit SignalLock(std::atomic<pid_t>& holder) noexcept : holder_(holder) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &mask_);
        const pid_t self = getpid();
        pid_t expected = 0;
        while (!holder_.compare_exchange_weak(expected, self)) {
            if (expected != self) continue;
            expected = 0;
            sched_yield();
        }
    }
    ~SignalLock() {
        holder_.store(0);
        pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }
    SignalLock(const SignalLock&) = delete;
    SignalLock& operator=(const SignalLock&) = delete;

private:
    std::atomic<pid_t>& holder_;
    sigset_t mask_;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/signal_port.hpp

// One subscriber of the signal hub: which signals it wants, which have arrived, and the descriptor
// that wakes it. Signal handlers of any thread come here; they read and write atomics and make one
// write(2), when the first bit of a set arrives.
//
// A port is never freed, only reused: a handler that has just found it in the hub's list may look
// at it for as long as it likes. What must not happen is a write to a descriptor that was closed,
// or closed and reused; for that a handler counts itself in as a visitor *before* it looks whether
// the port still wants the signal, and the owner stops wanting it *before* it waits for the
// visitors to leave. Whichever comes second in the single order of these operations sees the other.
// The wait is short and can't be prolonged: visitors block signals, and who comes later finds
// nothing to do.

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

#include <atomic>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

// Signals are numbered from 1; a set of them has bit (n - 1) for signal n.
inline constexpr int max_signal = 64;

constexpr uint64_t signal_bit(int number) noexcept { return uint64_t{1} << (number - 1); }

template <class Channel>
class SignalPort {
public:
    SignalPort(Channel channel, pid_t owner) noexcept
        : owner_(owner), channel_(std::move(channel)) {}

    SignalPort(const SignalPort&) = delete;
    SignalPort& operator=(const SignalPort&) = delete;

    // For handlers. The second look at `wanted_` is the one that counts.
    bool deliver(uint64_t bit, pid_t process) noexcept {
        if (!wants(bit, process)) return false;
        users_.fetch_add(1);
        const bool wanted = (wanted_.load() & bit) != 0;
        if (wanted && pending_.fetch_or(bit) == 0) channel_.wake();
        users_.fetch_sub(1);
        return wanted;
    }

    // A fork child has a copy of the port, but the descriptor in it is shared with the parent: the
    // port is of use to the process that opened it and to no other.
    bool wants(uint64_t bit, pid_t process) const noexcept {
        return (wanted_.load() & bit) != 0 && owner_.load() == process;
    }

    // For the owner, under the hub's lock.
    void want(uint64_t bit) noexcept { wanted_.fetch_or(bit); }
    void drop(uint64_t bits) noexcept {
        wanted_.fetch_and(~bits);
        pending_.fetch_and(~bits);
    }

    // For the owner.
    uint64_t wanted() const noexcept { return wanted_.load(); }
    pid_t owner() const noexcept { return owner_.load(); }
    int fd() const noexcept { return channel_.fd(); }
    uint32_t& count(int number) noexcept { return counts_[number - 1]; }
    void wake() noexcept { channel_.wake(); }

    // Drained before the set is taken: a bit that arrives in between is in the set, and at worst
    // the descriptor then tells of it once more.
    uint64_t take() noexcept {
        channel_.drain();
        return pending_.exchange(0) & wanted_.load();
    }

    // Wants nothing any more; gives the port back as soon as no handler is at it.
    void close() noexcept {
        while (users_.load() != taken) sched_yield();
        channel_.close();
        users_.fetch_sub(taken);
    }

    // In a fork child: the parent's handlers, if the fork happened in the middle of one, are
    // counted in for ever, and the port can't be used again.
    void abandon() noexcept {
        wanted_.store(0);
        channel_.close();
        uint32_t nobody = taken;
        users_.compare_exchange_strong(nobody, 0);
    }

    // Takes a port that was given back.
    bool claim(Channel& channel, pid_t owner) noexcept {
        uint32_t nobody = 0;
        if (!users_.compare_exchange_strong(nobody, taken)) return false;
        for (uint32_t& count : counts_) count = 0;
        channel_ = std::move(channel);
        owner_.store(owner);
        pending_.store(0);
        return true;
    }

    SignalPort* next = nullptr;  // fixed once the port is in the hub's list

private:
    static constexpr uint32_t taken = uint32_t{1} << 31;
    static_assert(std::atomic<uint64_t>::is_always_lock_free, "a signal handler can't lock");

    std::atomic<uint64_t> wanted_ = 0;
    std::atomic<uint64_t> pending_ = 0;
    std::atomic<uint32_t> users_ = taken;  // the owner, and the handlers that are here now
    std::atomic<pid_t> owner_;
    Channel channel_;
    uint32_t counts_[max_signal] = {};
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/signal_hub.hpp

// The one global of the library. A signal belongs to the process, so one table per process hands
// each signal to every system (every loop) that watches it; it is initialised at compile time and
// takes no part in static construction or destruction.
//
// The handler of the process is installed when the first system watches a signal and put back when
// the last one stops, and it passes every signal on to the handler that it found. Two versions of
// the library in one process have a hub each, which chain to each other like strangers.
//
// It refuses to fight. Somebody who installs a handler over ours keeps the signal: what he passes
// on we hear, and watching anew doesn't push him aside (he may pass on to us, and over him we would
// pass on to him: a circle). Only when nobody in the process watches and the signal reaches us all
// the same (a fork child; handlers removed in another order than installed) does the handler give
// way to the default action that it had replaced.

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>
#include <new>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

// What we found when we installed our handler. The two atomics are what the handler reads: at most
// one of them isn't null (SIG_DFL is null).
class PreviousHandler {
public:
    void remember(const struct sigaction& action) noexcept {
        const bool siginfo = (action.sa_flags & SA_SIGINFO) != 0;
        siginfo_.store(nullptr);
        plain_.store(siginfo ? nullptr : action.sa_handler);
        if (siginfo) siginfo_.store(action.sa_sigaction);
        action_ = action;
    }

    const struct sigaction& action() const noexcept { return action_; }

    bool is_default() const noexcept {
        return siginfo_.load() == nullptr && plain_.load() == nullptr;
    }

    void call(int number, siginfo_t* info, void* context) const {
        if (const auto handler = siginfo_.load()) return handler(number, info, context);
        if (const auto handler = plain_.load(); handler != SIG_DFL && handler != SIG_IGN) {
            handler(number);
        }
    }

private:
    std::atomic<void (*)(int, siginfo_t*, void*)> siginfo_ = nullptr;
    std::atomic<void (*)(int)> plain_ = nullptr;
    struct sigaction action_{};  // guarded by the hub's lock
};

/// Fans signals out to ports. `Policy` names the Channel and the Memory.
/// Threads: any, for different ports; one port is externally synchronised.
template <class Policy>
class SignalHub {
public:
    using Port = SignalPort<typename Policy::Channel>;

    Result<Port*> open() noexcept {
        auto channel = Policy::Channel::open();
        if (!channel) return channel.error();
        const pid_t self = getpid();
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            if (port->claim(*channel, self)) return port;
        }
        void* memory = Policy::Memory::allocate(sizeof(Port), alignof(Port));
        if (memory == nullptr) return Error(ENOMEM, "malloc", "signal port");
        Port* port = ::new (memory) Port(std::move(*channel), self);
        port->next = ports_.load();
        while (!ports_.compare_exchange_weak(port->next, port)) {
        }
        return port;
    }

    // A port of the parent is abandoned, also if the child has forgotten to do so.
    [[gnu::cold, gnu::noinline]] void close(Port& port) noexcept {
        if (port.owner() != getpid()) return port.abandon();
        if (port.wanted() != 0) drop(port, port.wanted());
        port.close();
    }

    /// Errors: EINVAL for what isn't a signal, can't be caught, or is a fault of the program.
    Result<void> add(Port& port, int number) noexcept {
        if (!can_watch(number)) return error(EINVAL, number);
        if (port.count(number) == 0) {
            const SignalLock lock(holder_);
            const bool first = !anybody_wants(signal_bit(number));
            port.want(signal_bit(number));
            if (const int code = first ? install(number) : 0; code != 0) {
                port.drop(signal_bit(number));
                return error(code, number);
            }
        }
        ++port.count(number);
        return {};
    }

    void remove(Port& port, int number) noexcept {
        if (!can_watch(number) || port.count(number) == 0) return;
        if (--port.count(number) == 0) drop(port, signal_bit(number));
    }

private:
    using Action = struct sigaction;

    // Returning from the handler of a fault repeats the fault, for ever.
    static bool is_fault(int number) noexcept {
        return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
    }
    static bool can_watch(int number) noexcept {
        return number >= 1 && number <= max_signal && number != SIGKILL && number != SIGSTOP &&
               !is_fault(number);
    }
    static Error error(int code, int number) noexcept {
        Text<24> object;
        object.append("signal ").append(number);
        return {code, "sigaction", object.view()};
    }

    bool is_ours(const Action& action) const noexcept {
        return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == entry;
    }
    static bool same(const Action& a, const Action& b) noexcept {
        if (((a.sa_flags ^ b.sa_flags) & SA_SIGINFO) != 0) return false;
        return (a.sa_flags & SA_SIGINFO) != 0 ? a.sa_sigaction == b.sa_sigaction
                                              : a.sa_handler == b.sa_handler;
    }
    static bool is_function(const Action& action) noexcept {
        return (action.sa_flags & SA_SIGINFO) != 0 ||
               (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    }

    bool anybody_wants(uint64_t bit) const noexcept {
        const pid_t self = getpid();
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            if (port->wants(bit, self)) return true;
        }
        return false;
    }

    void drop(Port& port, uint64_t bits) noexcept {
        const SignalLock lock(holder_);
        port.drop(bits);
        for (int number = 1; number <= max_signal; ++number) {
            const uint64_t bit = signal_bit(number);
            if ((bits & bit) != 0 && !anybody_wants(bit)) put_back(number);
        }
    }

    // Blocks all signals, so that nothing leaves a visit to a port unfinished; a fault in a handler
    // that we pass on to still finds the program's handler for it. SA_ONSTACK is for runtimes with
    // small stacks; it does nothing where no alternate stack was set up.
    Action ours() const noexcept {
        Action action{};
        action.sa_sigaction = entry;
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        sigfillset(&action.sa_mask);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
            sigdelset(&action.sa_mask, fault);
        }
        return action;
    }

    // Ours may be there already: left by a stranger who restored it, or by the parent of this
    // process. It is installed even so, because give_way() may be at work in another thread.
    int install(int number) noexcept {
        Action now{};
        if (sigaction(number, nullptr, &now) != 0) return errno;
        Slot& slot = slots_[number - 1];
        if (!is_ours(now)) {
            if (slot.installed && is_function(now) && !same(now, slot.previous.action())) return 0;
            slot.previous.remember(now);
        }
        const Action action = ours();
        if (sigaction(number, &action, nullptr) != 0) return errno;
        slot.installed = true;
        return 0;
    }

    void put_back(int number) noexcept {
        Action now{};
        Slot& slot = slots_[number - 1];
        if (sigaction(number, nullptr, &now) != 0) return;
        if (is_ours(now)) sigaction(number, &slot.previous.action(), nullptr);
        slot.installed = !is_ours(now) && is_function(now);
    }

    static void on_signal(int number, siginfo_t* info, void* context);

    // A variable, because plug-ins may share the hub and yet have a copy of the function each; and
    // none of the hub, which without it is all zeros and takes no room in the program's file.
    using Function = void(int, siginfo_t*, void*);
    static inline constinit Function* entry = &on_signal;

    [[gnu::noinline]] bool deliver(int number) noexcept {
        const pid_t self = getpid();
        bool wanted = false;
        for (Port* port = ports_.load(); port != nullptr; port = port->next) {
            wanted |= port->deliver(signal_bit(number), self);
        }
        return wanted;
    }

    // In the handler. Asks once more after the change: a system that began to watch meanwhile
    // either is seen here or installs after us. The signal is blocked here; raised, it acts on
    // return.
    void give_way(int number) noexcept {
        Action now{};
        if (sigaction(number, nullptr, &now) != 0 || !is_ours(now)) return;
        Action initial{};
        initial.sa_handler = SIG_DFL;
        sigaction(number, &initial, nullptr);
        if (deliver(number)) {
            sigaction(number, &now, nullptr);
        } else {
            ::raise(number);
        }
    }

    struct Slot {
        PreviousHandler previous;
        bool installed = false;  // ours is in place, or under a stranger's; guarded by the lock
    };

    std::atomic<Port*> ports_ = nullptr;
    std::atomic<pid_t> holder_ = 0;
    Slot slots_[max_signal] = {};
};

template <class Policy>
inline constinit SignalHub<Policy> signal_hub{};

// Not noexcept: a handler that we pass on to may unwind (thread cancellation does).
template <class Policy>
void SignalHub<Policy>::on_signal(int number, siginfo_t* info, void* context) {
    const int saved = errno;
    SignalHub& hub = signal_hub<Policy>;
    const PreviousHandler& previous = hub.slots_[number - 1].previous;
    if (!hub.deliver(number) && previous.is_default()) hub.give_way(number);
    errno = saved;
    previous.call(number, info, context);
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/signal_watch.hpp

// A place in the signal hub, as a value: opens on demand, moves by moving a pointer (the state that
// handlers look at stays where it is), and gives everything back when destroyed.

#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI::detail {

/// The signals that one owner watches, each as often as it was added.
/// Threads: externally synchronised; several watches may be used by several threads at once.
template <class Policy>
class SignalWatch {
public:
    SignalWatch() noexcept = default;
    SignalWatch(SignalWatch&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
    SignalWatch& operator=(SignalWatch&& other) noexcept {
        SignalWatch old(std::move(other));
        std::swap(port_, old.port_);
        return *this;
    }
    ~SignalWatch() {
        if (port_ != nullptr) signal_hub<Policy>.close(*port_);
    }

    /// The descriptor that tells of signals; the same one every time.
    Result<int> open() noexcept {
        if (port_ == nullptr) {
            const auto port = signal_hub<Policy>.open();
            if (!port) return port.error();
            port_ = *port;
        }
        return port_->fd();
    }

    Result<void> add(int number) noexcept {
        if (const auto fd = open(); !fd) return fd.error();
        return signal_hub<Policy>.add(*port_, number);
    }
    void remove(int number) noexcept {
        if (port_ != nullptr) signal_hub<Policy>.remove(*port_, number);
    }

    uint64_t take() noexcept { return port_ != nullptr ? port_->take() : 0; }
    void wake() noexcept { port_->wake(); }
    int fd() const noexcept { return port_ != nullptr ? port_->fd() : -1; }

    /// In a fork child: closes the child's descriptors and makes no other system call.
    void abandon() noexcept {
        if (port_ != nullptr) std::exchange(port_, nullptr)->abandon();
    }

private:
    typename SignalHub<Policy>::Port* port_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/child_watch.hpp

// The end of child processes. On Linux a child is a descriptor, pidfd_open(2) (since 5.3); where
// that is missing each watched child takes a place of its own in the signal hub, for SIGCHLD, and
// the loop asks waitid(2) whenever one has arrived.
//
// Every question names one pid. It refuses to wait for "any child": that would take away the status
// of a child that other code of the program started.

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <utility>

#if RONDO_HAS_PIDFD
#include <sys/syscall.h>
#endif

namespace rondo::inline RONDO_ABI::detail {

// Non-blocking and close-on-exec by itself. ENOSYS: before Linux 5.3, or a sandbox.
inline int open_pidfd([[maybe_unused]] int pid) noexcept {
#if RONDO_HAS_PIDFD && defined(SYS_pidfd_open)
    return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
#else
    errno = ENOSYS;
    return -1;
#endif
}

// EAGAIN while the child runs. `how` may add WNOWAIT, which leaves the status where it is.
inline Result<ChildStatus> ask_child(int pid, int how) noexcept {
    Text<24> object;
    object.append("pid ").append(pid);
    if (pid <= 0) return Error(EINVAL, "waitid", object.view());
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | how) != 0) {
        return Error(errno, "waitid", object.view());
    }
    if (info.si_pid == 0) return Error(EAGAIN, "waitid", object.view());
    return ChildStatus{pid, info.si_code != CLD_EXITED, info.si_status};
}

/// The children that one system watches. `Policy::pidfd` chooses between the two ways.
/// Threads: externally synchronised.
template <class Policy>
class ChildWatches {
public:
    ChildWatches() noexcept = default;
    ChildWatches(ChildWatches&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
    ChildWatches& operator=(ChildWatches&& other) noexcept {
        ChildWatches old(std::move(other));
        std::swap(first_, old.first_);
        return *this;
    }
    ~ChildWatches() {
        while (first_ != nullptr) release(first_);
    }

    Result<int> add(int pid) noexcept {
        void* memory = Policy::Memory::allocate(sizeof(Child), alignof(Child));
        if (memory == nullptr) return Error(ENOMEM, "malloc", "child watch");
        first_ = ::new (memory) Child{.pid = pid, .next = first_};
        auto fd = watch(*first_);
        if (!fd) release(first_);
        return fd;
    }

    void remove(int pid, int fd) noexcept {
        for (Child** link = &first_; *link != nullptr; link = &(*link)->next) {
            if ((*link)->pid == pid && (*link)->fd() == fd) return release(*link);
        }
    }

    // The signal is taken before the question, so that one that comes in between is not lost.
    Result<ChildStatus> reap(int pid) noexcept {
        for (Child* child = first_; child != nullptr; child = child->next) {
            if (child->pid == pid) child->sigchld.take();
        }
        return ask_child(pid, 0);
    }

    void abandon() noexcept {
        for (Child* child = first_; child != nullptr; child = child->next) child->sigchld.abandon();
        while (first_ != nullptr) release(first_);
    }

private:
    struct Child {
        int pid;
        Child* next;
        Fd pidfd{};
        SignalWatch<Policy> sigchld{};

        int fd() const noexcept { return pidfd.get() >= 0 ? pidfd.get() : sigchld.fd(); }
    };

    Result<int> watch(Child& child) noexcept {
        if (Policy::pidfd) {
            const auto state = ask_child(child.pid, WNOWAIT);
            if (!state && state.error() != EAGAIN) return state.error();
            child.pidfd.reset(open_pidfd(child.pid));
            if (child.pidfd.get() >= 0) return child.pidfd.get();
            if (errno != ENOSYS && errno != EPERM) return Error(errno, "pidfd_open");
        }
        return watch_by_signal(child);
    }

    // Asked after the handler is in place: a child that ended before makes no signal.
    static Result<int> watch_by_signal(Child& child) noexcept {
        if (const auto added = child.sigchld.add(SIGCHLD); !added) return added.error();
        const auto state = ask_child(child.pid, WNOWAIT);
        if (state) child.sigchld.wake();
        if (!state && state.error() != EAGAIN) return state.error();
        return child.sigchld.fd();
    }

    static void release(Child*& link) noexcept {
        Child* child = std::exchange(link, link->next);
        child->~Child();
        Policy::Memory::release(child, sizeof(Child), alignof(Child));
    }

    Child* first_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/inherited_fds.hpp

// Sockets that the service manager opened for this process (sd_listen_fds(3)): LISTEN_FDS of them,
// from descriptor 3 on, if LISTEN_PID is this process.
//
// It refuses to change the environment unless it is told to, since that is the process' own. Both
// functions are for the start of a program, before there are threads that change the environment.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

namespace rondo::inline RONDO_ABI::detail {

// NOLINTBEGIN(concurrency-mt-unsafe): getenv and unsetenv, see above

inline constexpr int inherited_first = 3;

// Digits only; -1: anything else.
inline long number_in_environment(const char* name) noexcept {
    const char* text = getenv(name);
    if (text == nullptr || *text < '0' || *text > '9') return -1;
    char* end = nullptr;
    errno = 0;
    const long value = strtol(text, &end, 10);
    return *end == '\0' && errno == 0 ? value : -1;
}

inline Result<int> inherited_fds() noexcept {
    if (getenv("LISTEN_FDS") == nullptr) return 0;
    if (number_in_environment("LISTEN_PID") != getpid()) return 0;
    const long count = number_in_environment("LISTEN_FDS");
    if (count < 0 || count > INT_MAX - inherited_first) return Error(EINVAL, "LISTEN_FDS");
    for (int fd = inherited_first; fd < inherited_first + static_cast<int>(count); ++fd) {
        const int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) {
            return Error::on_fd(errno, "LISTEN_FDS", fd);
        }
        const int status = fcntl(fd, F_GETFL);
        if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0) {
            return Error::on_fd(errno, "LISTEN_FDS", fd);
        }
    }
    return static_cast<int>(count);
}

inline void forget_inherited_fds() noexcept {
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

// NOLINTEND(concurrency-mt-unsafe)

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/names.hpp

// From names to addresses, by getaddrinfo: the one call of the system that blocks for as long as
// somebody else takes, and that therefore is not for the loop's thread.

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include <span>

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

// ---- rondo/os/pin_thread.hpp

// Binds the calling thread to one processor. It counts among the processors that the thread may run
// on, so that a container with the processors 4 to 7 has the numbers 0 to 3.
//
// It refuses to choose a processor, and to bind any other thread.

#include <errno.h>
#include <pthread.h>
#include <sched.h>

namespace rondo::inline RONDO_ABI::detail {

inline Result<void> pin_thread(int cpu) noexcept {
    if (cpu < 0) return Error(EINVAL, "pin_thread");
#if RONDO_HAS_AFFINITY
    cpu_set_t allowed;
    const int asked = pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed);
    if (asked != 0) return Error(asked, "pthread_getaffinity_np");
    for (size_t number = 0; number < CPU_SETSIZE; ++number) {
        if (!CPU_ISSET(number, &allowed) || cpu-- != 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(number, &one);
        const int set = pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        if (set != 0) return Error(set, "pthread_setaffinity_np");
        return {};
    }
    return Error(EINVAL, "pin_thread");
#else
    return Error(ENOTSUP, "pin_thread");
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/thread_token.hpp

// Which thread this is, as a number to compare: what the check "is this the loop's thread?" costs
// is what every public call of a loop costs. Where the compiler knows the register that points at
// the thread's block it is one instruction; pthread_self(3) is a call.
//
// It refuses to be a thread's name: a number is used again after its thread has ended.
//
// Beside it, whether there is any other thread to tell this one from.

#include <pthread.h>
#include <stdint.h>

#include <bit>

#if RONDO_HAS_SINGLE_THREADED
#include <sys/single_threaded.h>
#endif

namespace rondo::inline RONDO_ABI::detail {

// Asked of ELF systems only: elsewhere a compiler may know the name and have no code for it.
#if defined(__ELF__) && defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define RONDO_DETAIL_HAS_THREAD_POINTER 1
#endif
#endif
#ifndef RONDO_DETAIL_HAS_THREAD_POINTER
#define RONDO_DETAIL_HAS_THREAD_POINTER 0
#endif

/// Never 0, and different for each two threads alive.
/// Threads: any.
inline uintptr_t thread_token() noexcept {
#if RONDO_DETAIL_HAS_THREAD_POINTER
    return reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
#else
    return std::bit_cast<uintptr_t>(pthread_self());
#endif
}

/// True if no other thread exists now. False where it isn't known: glibc 2.32 and newer tell, and
/// only until the first thread is made.
inline bool single_threaded() noexcept {
#if RONDO_HAS_SINGLE_THREADED
    return __libc_single_threaded != 0;
#else
    return false;
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/os/wake_channel.hpp

// How another thread makes a waiting poller return: a descriptor that becomes readable. An eventfd
// where there is one (one descriptor, and it never fills), a pipe elsewhere.
//
// Both are always compiled where they can be, so that the pipe is tested on Linux too. It refuses
// to carry data and to remember how often it was written.

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include <utility>

#if RONDO_HAS_EVENTFD
#include <sys/eventfd.h>
#endif

namespace rondo::inline RONDO_ABI {

/// A pipe to oneself.
/// Threads: wake() from any thread; everything else from the owner's.
class PipeChannel {
public:
    static Result<PipeChannel> open() noexcept {
        int ends[2];
#if RONDO_HAS_PIPE2
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Error(errno, "pipe2");
        return PipeChannel(Fd(ends[0]), Fd(ends[1]));
#else
        if (::pipe(ends) != 0) return Error(errno, "pipe");
        PipeChannel channel{Fd(ends[0]), Fd(ends[1])};
        for (const int end : ends) {
            if (fcntl(end, F_SETFD, FD_CLOEXEC) != 0 || fcntl(end, F_SETFL, O_NONBLOCK) != 0) {
                return Error::on_fd(errno, "fcntl", end);
            }
        }
        return channel;
#endif
    }

    /// Readable from a wake() to the next drain(). -1 once closed.
    int fd() const noexcept { return reader_.get(); }

    /// A full pipe (EAGAIN) is a wake-up that is already on its way.
    void wake() noexcept {
        if (writer_.get() < 0) return;
        const char byte = 0;
        while (::write(writer_.get(), &byte, 1) < 0 && errno == EINTR) {
        }
    }

    void drain() noexcept {
        char bytes[256];
        ssize_t count = 0;
        do {
            count = ::read(reader_.get(), bytes, sizeof bytes);
        } while (count == sizeof bytes || (count < 0 && errno == EINTR));
    }

    /// Closes this process's descriptors; wake() then does nothing.
    void close() noexcept {
        reader_.reset();
        writer_.reset();
    }

private:
    PipeChannel(Fd reader, Fd writer) noexcept
        : reader_(std::move(reader)), writer_(std::move(writer)) {}

    Fd reader_;
    Fd writer_;
};

#if RONDO_HAS_EVENTFD

/// A counter in the kernel, eventfd(2).
/// Threads: wake() from any thread; everything else from the owner's.
class EventfdChannel {
public:
    static Result<EventfdChannel> open() noexcept {
        Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (fd.get() < 0) return Error(errno, "eventfd");
        return EventfdChannel(std::move(fd));
    }

    /// Readable from a wake() to the next drain(). -1 once closed.
    int fd() const noexcept { return fd_.get(); }

    void wake() noexcept {
        if (fd_.get() < 0) return;
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
    }

    void drain() noexcept {
        uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &count, sizeof count);
    }

    /// Closes this process's descriptor; wake() then does nothing.
    void close() noexcept { fd_.reset(); }

private:
    explicit EventfdChannel(Fd fd) noexcept : fd_(std::move(fd)) {}

    Fd fd_;
};

using WakeChannel = EventfdChannel;

#else

using WakeChannel = PipeChannel;

#endif

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/os/posix_system.hpp

// What a loop wants from the system beside readiness: signals, the end of child processes, the
// addresses of names, and who the current thread is. Every poller that stands on a real kernel has
// one; a simulated poller answers the same calls from its world (the concept SystemApi of
// <rondo/backend/poller.hpp>).
//
// It refuses to do anything unasked: no disposition is touched before a signal is added, and no
// child is waited for that was not named.

#include <errno.h>
#include <stdint.h>

namespace rondo::inline RONDO_ABI {

/// How PosixSystem uses this kernel. The older ways that it chooses from work everywhere. Its table
/// of signals is the one thing that a poller keeps on the heap besides the loop's Memory.
struct NativeSystem {
    using Channel = WakeChannel;
    using Memory = Malloc;
    static constexpr bool pidfd = RONDO_HAS_PIDFD;
};

/// Signals, children and threads of the process.
///
/// Lifetime: movable. The destructor stops watching, closes what it opened, and puts a signal's
/// previous disposition back if nobody else in the process watches it and no one has replaced our
/// handler since. A plug-in has to destroy its systems before it is unloaded.
/// Threads: one system is externally synchronised; different systems may be used, and watch the
/// same signals, in different threads. thread_token() from any thread.
/// Errors: ENOMEM and EMFILE leave everything as before. After abandon() every call that can fail
/// answers EBADF.
template <class Policy>
class BasicPosixSystem {
public:
    BasicPosixSystem() noexcept = default;

    /// Never 0, and different for each two threads alive.
    /// Cost: one instruction where the compiler knows the thread pointer.
    static uintptr_t thread_token() noexcept { return detail::thread_token(); }

    /// True if no other thread exists now. False if there may be, or where the system doesn't tell.
    /// Cost: one load.
    static bool single_threaded() noexcept { return detail::single_threaded(); }

    /// The addresses of a name by getaddrinfo, in its order, as many as `out` has room for. Family
    /// none asks for both. Each gets `port`.
    /// Threads: any; it blocks for as long as the name service takes.
    /// Errors: a NameError, ENOMEM, EAFNOSUPPORT, and what the system says.
    static Result<size_t> resolve(const char* name, uint16_t port, Family family,
                                  std::span<Endpoint> out) noexcept {
        return detail::resolve_name(name, port, family, out);
    }
    /// Binds the calling thread to one processor, counted from 0 among those that it may run on.
    /// Errors: EINVAL if there are not so many; ENOTSUP where the system has no such call.
    static Result<void> pin_thread(int cpu) noexcept { return detail::pin_thread(cpu); }

    /// How many descriptors the service manager has handed in, numbered from 3 on. They become
    /// close-on-exec and non-blocking. The environment stays as it is: a second call answers the
    /// same, and forget_inherited_fds() ends that.
    /// Errors: EINVAL for a LISTEN_FDS that is no number; EBADF for a descriptor that isn't there.
    static Result<int> inherited_fds() noexcept { return detail::inherited_fds(); }

    /// Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment.
    /// Threads: while no other thread reads or changes the environment.
    static void forget_inherited_fds() noexcept { detail::forget_inherited_fds(); }

    /// The descriptor, owned by the system, that is readable when a watched signal has arrived. The
    /// same one every time.
    Result<int> open_signals() noexcept {
        if (abandoned_) return gone("open_signals");
        return signals_.open();
    }

    /// Watches a signal; counted, so that each add_signal takes a remove_signal. The first watcher
    /// in the process installs the library's handler (SA_RESTART), which passes the signal on to
    /// the handler that it replaced, with all signals but faults blocked. If somebody installs a
    /// handler over ours, what it passes on arrives here.
    /// Errors: EINVAL for what is no signal, for SIGKILL and SIGSTOP, and for SIGSEGV, SIGBUS,
    /// SIGFPE and SIGILL, after which a program can't go on.
    Result<void> add_signal(int number) noexcept {
        if (abandoned_) return gone("add_signal");
        return signals_.add(number);
    }

    /// Takes one add_signal back; without one it does nothing.
    void remove_signal(int number) noexcept { signals_.remove(number); }

    /// The signals that have arrived since the last call, each once: bit (n - 1) for signal n. May
    /// be empty although the descriptor was readable.
    uint64_t take_signals() noexcept { return signals_.take(); }

    /// A descriptor that is readable once the child may have ended: then ask reap_child. It is
    /// owned by the system; unwatch_child closes it.
    /// Errors: EINVAL unless pid > 0, ECHILD if it isn't a child of this process.
    /// Cost: a pidfd. Where there is none SIGCHLD is watched, and wakes every watched child's
    /// descriptor.
    Result<int> watch_child(int pid) noexcept {
        if (abandoned_) return gone("watch_child");
        return children_.add(pid);
    }

    /// How the child ended, once: afterwards it is no child any more.
    /// Errors: EAGAIN while it runs; EINVAL unless pid > 0; ECHILD if it isn't a child of this
    /// process, was reaped already, or if the process ignores SIGCHLD (then nobody can know).
    Result<ChildStatus> reap_child(int pid) noexcept {
        if (abandoned_) return gone("reap_child");
        return children_.reap(pid);
    }

    /// Ends a watch_child, before or after the child.
    void unwatch_child(int pid, int fd) noexcept { children_.remove(pid, fd); }

    /// In a fork child, instead of using or destroying the parent's system: closes the descriptors
    /// and makes no other system call, now and later. The handlers of the parent stay installed
    /// until exec; a signal that nobody in the child watches does what it would have done without
    /// them.
    void abandon() noexcept {
        abandoned_ = true;
        signals_.abandon();
        children_.abandon();
    }

private:
    static Error gone(const char* call) noexcept { return {EBADF, call, "after abandon"}; }

    detail::SignalWatch<Policy> signals_;
    detail::ChildWatches<Policy> children_;
    bool abandoned_ = false;
};

/// The system of this process.
using PosixSystem = BasicPosixSystem<NativeSystem>;

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/backend/epoll_poller.hpp

// Readiness from epoll(7). The kernel writes its events straight into the caller's span, an Event
// is a struct epoll_event seen through two functions, and nothing is kept in user space: compiled,
// this is the loop that one would write by hand.
//
// Level-triggered unless asked otherwise. It refuses to know what a descriptor was asked for
// before, to merge changes, and to use EPOLLEXCLUSIVE.

#if RONDO_HAS_EPOLL

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event, as the kernel wrote it.
class EpollEvent {
public:
    // In halves, as they are needed: a whole would be taken apart again for each event.
    Token token() const noexcept {
        const auto* const data = reinterpret_cast<const char*>(&native_.data);
        int fd = 0;
        uint32_t generation = 0;
        memcpy(&fd, data, sizeof fd);
        memcpy(&generation, data + sizeof fd, sizeof generation);
        return {fd, generation};
    }

    /// EPOLLIN, PRI, OUT, ERR and HUP are Readiness's own bits; EPOLLRDHUP is moved into place. The
    /// kernel reports no other bits than those, because no others are asked for.
    Readiness readiness() const noexcept {
        return static_cast<Readiness>(native_.events | (native_.events >> 8));
    }

private:
    epoll_event native_{};
};

static_assert(sizeof(EpollEvent) == sizeof(epoll_event), "wait() hands its span to the kernel");
static_assert(EPOLLIN == static_cast<int>(Readiness::readable) &&
              EPOLLPRI == static_cast<int>(Readiness::priority) &&
              EPOLLOUT == static_cast<int>(Readiness::writable) &&
              EPOLLERR == static_cast<int>(Readiness::error) &&
              EPOLLHUP == static_cast<int>(Readiness::hangup) &&
              EPOLLRDHUP >> 8 == static_cast<int>(Readiness::read_closed));
static_assert(EPOLLIN == static_cast<int>(Interest::read) &&
              EPOLLPRI == static_cast<int>(Interest::priority) &&
              EPOLLOUT == static_cast<int>(Interest::write));

/// A Poller on epoll(7), Linux 2.6.27 or newer; waits are exact to the nanosecond from Linux 5.11.
/// Threads: wake() from any thread; everything else from the loop's thread.
class EpollPoller {
public:
    using Event = EpollEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{.edge = true,
                                         .priority = true,
                                         .read_closed = true,
                                         .native_handle = true,
                                         .closing_removes = true};

    static constexpr const char* name() noexcept { return "epoll"; }

    [[gnu::cold]] static Result<EpollPoller> open() noexcept {
        auto wake = EventfdChannel::open();
        if (!wake) return wake.error();
        auto set = open_set(wake->fd());
        if (!set) return set.error();
        return EpollPoller(std::move(*set), std::move(*wake));
    }

    Result<void> add(int fd, Interest interest, Token token) noexcept {
        return control(EPOLL_CTL_ADD, fd, interest, token);
    }

    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        return control(EPOLL_CTL_MOD, fd, to, token);
    }

    Result<void> remove(int fd, Interest) noexcept {
        return control(EPOLL_CTL_DEL, fd, Interest::none, Token::wake_up());
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        int count = 0;
        if (set_.get() < 0) [[unlikely]]
            return Error(EBADF, "epoll_wait");
        if (deadline == Instant::max()) {
            count = wait_milliseconds(out, -1);
        } else if (deadline == Instant::min()) {
            count = wait_milliseconds(out, 0);
        } else {
            count = wait_until(out, deadline);
        }
        if (count >= 0) [[likely]]
            return static_cast<size_t>(count);
        if (errno == EINTR) return size_t{0};
        return Error(errno, "epoll_wait");
    }

    void wake() noexcept { wake_.wake(); }

    Instant now() const noexcept { return monotonic_now(); }

    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// Readable when wait() would have something to report. It keeps its number across reopen(),
    /// but is then another open file: a foreign epoll set has to be given it again, poll(2) notices
    /// nothing.
    int native_handle() const noexcept { return set_.get(); }

    /// Errors: on failure the set is as before.
    [[gnu::cold]] Result<void> reopen() noexcept {
        if (set_.get() < 0) return Error(EBADF, "epoll_create1");
        auto fresh = open_set(wake_.fd());
        if (!fresh) return fresh.error();
        if (dup3(fresh->get(), set_.get(), O_CLOEXEC) < 0) return Error(errno, "dup3");
        return {};
    }

    /// Closes this process's descriptors. The set itself lives on in the parent, unchanged: it is a
    /// set of open files, and close(2) takes nothing out of it while another process holds it.
    [[gnu::cold]] void abandon() noexcept {
        set_.reset();
        wake_.close();
        system_.abandon();
    }

private:
    EpollPoller(Fd set, EventfdChannel wake) noexcept
        : set_(std::move(set)), wake_(std::move(wake)) {}

    // The wake channel is edge-triggered and never drained: every write to an eventfd wakes the
    // waiters of its poll queue, also while its count is above zero (eventfd_write() in the
    // kernel's fs/eventfd.c), and epoll queues an edge-triggered file at each such call. That saves
    // a read per wake-up; the count would take 584 years of one write per nanosecond to fill.
    [[gnu::cold]] static Result<Fd> open_set(int wake_fd) noexcept {
        Fd set(epoll_create1(EPOLL_CLOEXEC));
        if (set.get() < 0) return Error(errno, "epoll_create1");
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;
        event.data.u64 = Token::wake_up().bits();
        if (epoll_ctl(set.get(), EPOLL_CTL_ADD, wake_fd, &event) != 0) {
            return Error::on_fd(errno, "epoll_ctl", wake_fd);
        }
        return set;
    }

    // EPOLLERR and EPOLLHUP can't be switched off (epoll_ctl(2)); without a direction they would be
    // reported by every wait. One-shot, they are reported once, and to nobody.
    static epoll_event native(Interest interest, Token token) noexcept {
        epoll_event event{};
        if (directions(interest) == Interest::none) {
            event.events = EPOLLONESHOT;
            event.data.u64 = Token::wake_up().bits();
            return event;
        }
        event.events = static_cast<uint32_t>(directions(interest));
        if (any(interest, Interest::read)) event.events |= EPOLLRDHUP;
        if (any(interest, Interest::edge)) event.events |= static_cast<uint32_t>(EPOLLET);
        if (any(interest, Interest::oneshot)) event.events |= static_cast<uint32_t>(EPOLLONESHOT);
        const uint32_t halves[] = {static_cast<uint32_t>(token.fd()), token.generation()};
        memcpy(&event.data, halves, sizeof halves);
        return event;
    }

    [[gnu::noinline]] Result<void> control(int operation, int fd, Interest interest,
                                           Token token) noexcept {
        epoll_event event = native(interest, token);
        if (set_.get() < 0) return Error::on_fd(EBADF, "epoll_ctl", fd);
        if (epoll_ctl(set_.get(), operation, fd, &event) == 0) [[likely]]
            return {};
        return Error::on_fd(errno, "epoll_ctl", fd);
    }

    static epoll_event* events(std::span<Event> out) noexcept {
        return reinterpret_cast<epoll_event*>(out.data());
    }

    int wait_milliseconds(std::span<Event> out, int timeout) noexcept {
        return epoll_wait(set_.get(), events(out), static_cast<int>(out.size()), timeout);
    }

    [[gnu::noinline]] int wait_until(std::span<Event> out, Instant deadline) noexcept {
        const Duration left = deadline - now();
        if (left <= Duration()) return wait_milliseconds(out, 0);
#ifdef SYS_epoll_pwait2
        if (exact_) {
            const int count = wait_nanoseconds(out, left);
            // ENOSYS before Linux 5.11 and under valgrind; EPERM from old container filters.
            if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
            exact_ = false;
        }
#endif
        const int64_t timeout = left.ms_rounded_up();
        return wait_milliseconds(out, timeout < INT_MAX ? static_cast<int>(timeout) : INT_MAX);
    }

#ifdef SYS_epoll_pwait2
    // By number: the C library's wrapper is younger than the call (glibc 2.35). The kernel's
    // timespec is 64 bits wide everywhere.
    int wait_nanoseconds(std::span<Event> out, Duration left) noexcept {
        const struct {
            int64_t seconds, nanoseconds;
        } timeout{left.ns() / 1'000'000'000, left.ns() % 1'000'000'000};
        return static_cast<int>(syscall(SYS_epoll_pwait2, set_.get(), events(out),
                                        static_cast<int>(out.size()), &timeout, nullptr,
                                        size_t{0}));
    }
    bool exact_ = true;
#endif

    Fd set_;
    EventfdChannel wake_;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

static_assert(Poller<EpollPoller> && HasNativeHandle<EpollPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_EPOLL

// ---- rondo/core/array.hpp

// Array<T>: a growable array of trivially copyable values whose memory comes from a Memory policy
// and whose growth can fail without losing anything. (std::vector throws, and needs libstdc++.)

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <new>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// Threads: externally synchronised.
/// Cost: push_back is amortised O(1); the array never shrinks.
template <class T, Memory M = Malloc>
class Array {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    Array() noexcept = default;
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    Array(Array&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Array& operator=(Array&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Array() { release(); }

    /// Room for `count` elements; false if memory is out, with everything as before.
    bool reserve(size_t count) noexcept { return count <= capacity_ || grow(count); }

    /// False if memory is out.
    bool push_back(const T& value) noexcept {
        const T copy = value;
        if (!reserve(size_ + 1)) return false;
        ::new (static_cast<void*>(data_ + size_)) T(copy);
        ++size_;
        return true;
    }

    /// Makes it `count` elements long, the new ones value-initialised; false if memory is out.
    bool resize(size_t count) noexcept {
        if (!reserve(count)) return false;
        for (size_t i = size_; i < count; ++i) ::new (static_cast<void*>(data_ + i)) T();
        size_ = count;
        return true;
    }

    void clear() noexcept { size_ = 0; }
    /// Drops the elements from `count` on.
    void truncate(size_t count) noexcept { size_ = count < size_ ? count : size_; }

    T& operator[](size_t index) noexcept { return data_[index]; }
    const T& operator[](size_t index) const noexcept { return data_[index]; }
    T* data() noexcept { return data_; }
    T* begin() noexcept { return data_; }
    T* end() noexcept { return data_ + size_; }
    size_t size() const noexcept { return size_; }
    size_t capacity() const noexcept { return capacity_; }
    bool empty() const noexcept { return size_ == 0; }

private:
    [[gnu::cold, gnu::noinline]] bool grow(size_t count) noexcept {
        size_t capacity = capacity_ + capacity_ / 2;
        if (capacity < count) capacity = count;
        if (capacity < 8) capacity = 8;
        if (capacity > SIZE_MAX / sizeof(T)) return false;
        void* const memory = M::allocate(capacity * sizeof(T), alignof(T));
        if (memory == nullptr) return false;
        if (size_ != 0) memcpy(memory, static_cast<const void*>(data_), size_ * sizeof(T));
        release();
        data_ = static_cast<T*>(memory);
        capacity_ = capacity;
        return true;
    }

    void release() noexcept {
        if (data_ == nullptr) return;
        M::release(static_cast<void*>(data_), capacity_ * sizeof(T), alignof(T));
    }

    T* data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/backend/poll_poller.hpp

// Readiness from poll(2), for every Unix. The array that the kernel reads is dense; a table by
// descriptor finds an entry in it. A descriptor that nobody wants to hear from stays in its place
// with its number complemented, which poll(2) skips, hang-ups included.
//
// The cost of a wait grows with the number of descriptors. It refuses edge-triggered interest;
// one-shot is emulated by complementing the number.

#if RONDO_HAS_POLL

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event: an entry of the array that was found ready.
class PollEvent {
public:
    PollEvent() noexcept = default;
    PollEvent(Token token, short native) noexcept : token_(token), native_(native) {}

    Token token() const noexcept { return token_; }

    /// POLLIN, PRI, OUT, ERR and HUP are Readiness's own bits. POLLNVAL, a descriptor that was
    /// closed without remove, is an error.
    Readiness readiness() const noexcept {
        Readiness result = static_cast<Readiness>(native_ & 0x1f);
        if ((native_ & read_closed) != 0) result |= Readiness::read_closed;
        if ((native_ & POLLNVAL) != 0) result |= Readiness::error;
        return result;
    }

    /// The kernel's bit for a peer that has finished sending; 0 where it has none.
#ifdef POLLRDHUP
    static constexpr short read_closed = POLLRDHUP;
#else
    static constexpr short read_closed = 0;
#endif

private:
    Token token_;
    short native_ = 0;
};

static_assert(POLLIN == static_cast<int>(Readiness::readable) &&
              POLLPRI == static_cast<int>(Readiness::priority) &&
              POLLOUT == static_cast<int>(Readiness::writable) &&
              POLLERR == static_cast<int>(Readiness::error) &&
              POLLHUP == static_cast<int>(Readiness::hangup));

/// A Poller on poll(2); waits are exact to the nanosecond where there is ppoll(2).
/// Threads: wake() from any thread; everything else from the loop's thread.
template <Memory M>
class BasicPollPoller {
public:
    using Event = PollEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{
        .priority = true, .read_closed = PollEvent::read_closed != 0, .files_always_ready = true};

    static constexpr const char* name() noexcept { return "poll"; }

    static Result<BasicPollPoller> open() noexcept {
        auto wake = WakeChannel::open();
        if (!wake) return wake.error();
        BasicPollPoller poller(std::move(*wake));
        if (!poller.reserve(0, 1)) return Error(ENOMEM, "poll");
        poller.empty();
        return poller;
    }

    /// Errors: ENOMEM too, with everything as before. poll(2) itself would not tell a descriptor
    /// that isn't open until it is waited for, so this asks fcntl(2).
    Result<void> add(int fd, Interest interest, Token token) noexcept {
        if (any(interest, Interest::edge)) return failed(ENOTSUP, fd);
        if (wake_.fd() < 0 || fd < 0 || fcntl(fd, F_GETFD) < 0) return failed(EBADF, fd);
        if (find(fd) != 0) return failed(EEXIST, fd);
        const auto index = static_cast<size_t>(fd);
        if (!reserve(index + 1, fds_.size() + 1)) return failed(ENOMEM, fd);
        if (places_.size() <= index) places_.resize(index + 1);
        places_[index] = static_cast<uint32_t>(fds_.size());
        append(native(fd, interest), {token, any(interest, Interest::oneshot)});
        return {};
    }

    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        const size_t place = find(fd);
        if (place == 0) return failed(fd < 0 ? EBADF : ENOENT, fd);
        fds_[place] = native(fd, to);
        owners_[place].token = token;
        return {};
    }

    Result<void> remove(int fd, Interest) noexcept {
        const size_t place = find(fd);
        if (place == 0) return failed(fd < 0 ? EBADF : ENOENT, fd);
        const size_t last = fds_.size() - 1;
        places_[static_cast<size_t>(number(fds_[last]))] = static_cast<uint32_t>(place);
        places_[static_cast<size_t>(fd)] = 0;
        fds_[place] = fds_[last];
        owners_[place] = owners_[last];
        fds_.resize(last);
        owners_.resize(last);
        return {};
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "poll");
        int ready = ask(deadline);
        if (ready < 0) {
            if (errno == EINTR) return size_t{0};
            return Error(errno, "poll");
        }
        if (ready > 0 && fds_[0].revents != 0) {
            wake_.drain();
            --ready;
        }
        return collect(out, ready);
    }

    void wake() noexcept { wake_.wake(); }
    Instant now() const noexcept { return monotonic_now(); }
    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// There is no set in the kernel: this forgets the registrations.
    Result<void> reopen() noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "poll");
        empty();
        return {};
    }

    void abandon() noexcept {
        wake_.close();
        empty();
        system_.abandon();
    }

private:
    struct Owner {
        Token token;
        bool oneshot = false;
    };

    explicit BasicPollPoller(WakeChannel wake) noexcept : wake_(std::move(wake)) {}

    static Error failed(int code, int fd) noexcept { return Error::on_fd(code, "poll", fd); }

    static pollfd native(int fd, Interest interest) noexcept {
        pollfd entry{};
        entry.fd = directions(interest) == Interest::none ? ~fd : fd;
        entry.events = static_cast<short>(directions(interest));
        if (any(interest, Interest::read)) {
            entry.events = static_cast<short>(entry.events | PollEvent::read_closed);
        }
        return entry;
    }
    static int number(const pollfd& entry) noexcept { return entry.fd < 0 ? ~entry.fd : entry.fd; }

    // Where fds_ holds the descriptor; 0, the place of the wake channel, if it doesn't.
    size_t find(int fd) const noexcept {
        return static_cast<size_t>(fd) < places_.size() ? places_[static_cast<size_t>(fd)] : 0;
    }

    bool reserve(size_t numbers, size_t entries) noexcept {
        return places_.reserve(numbers) && fds_.reserve(entries) && owners_.reserve(entries);
    }

    // Needs room for one more.
    void append(const pollfd& entry, const Owner& owner) noexcept {
        fds_.push_back(entry);
        owners_.push_back(owner);
    }

    void empty() noexcept {
        places_.clear();
        fds_.clear();
        owners_.clear();
        append(native(wake_.fd(), Interest::read), {Token::wake_up(), false});
    }

    int ask(Instant deadline) noexcept {
        const auto count = static_cast<nfds_t>(fds_.size());
        if (deadline == Instant::max()) return poll(fds_.data(), count, -1);
        if (deadline == Instant::min()) return poll(fds_.data(), count, 0);
        const Duration left = deadline - now();
        if (left <= Duration()) return poll(fds_.data(), count, 0);
#if RONDO_HAS_PPOLL
        const timespec timeout = wait_timespec(left);
        return ppoll(fds_.data(), count, &timeout, nullptr);
#else
        const int64_t timeout = left.ms_rounded_up();
        return poll(fds_.data(), count, timeout < INT_MAX ? static_cast<int>(timeout) : INT_MAX);
#endif
    }

    // Starts where the last full batch ended, so that low entries don't starve high ones.
    size_t collect(std::span<Event> out, int ready) noexcept {
        size_t count = 0;
        for (size_t left = fds_.size() - 1; left > 0 && ready > 0 && count < out.size(); --left) {
            if (next_ >= fds_.size()) next_ = 1;
            pollfd& entry = fds_[next_];
            const Owner& owner = owners_[next_++];
            if (entry.revents == 0) continue;
            out[count++] = PollEvent(owner.token, entry.revents);
            if (owner.oneshot) entry.fd = ~entry.fd;
            --ready;
        }
        return count;
    }

    WakeChannel wake_;
    Array<uint32_t, M> places_;  // by descriptor
    Array<pollfd, M> fds_;
    Array<Owner, M> owners_;  // beside fds_
    size_t next_ = 1;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

using PollPoller = BasicPollPoller<Malloc>;

static_assert(Poller<PollPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_POLL

// ---- rondo/backend/default_poller.hpp

// DefaultPoller: the best poller that this platform has. A program that doesn't care which one it
// runs on includes this header and writes EventLoop<DefaultPoller>.
//
// It is an alias, decided when the program is compiled; it refuses to choose at run time.

namespace rondo::inline RONDO_ABI {

#if RONDO_HAS_EPOLL
using DefaultPoller = EpollPoller;
#elif RONDO_HAS_POLL
using DefaultPoller = PollPoller;
#else
#error "rondo has no poller for this platform: write one, see <rondo/backend/poller.hpp>"
#endif

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/backend/select_poller.hpp

// Readiness from select(2): the oldest way, for descriptors that no other call takes. Two bit sets
// say what is wanted; a table by descriptor holds the tokens.
//
// select(2) says "readable" or "writable" and nothing else: a hang-up is readable, an error is
// both. It refuses edge-triggered and priority interest (nobody who asks for priority alone could
// be told of a hang-up) and descriptors from FD_SETSIZE up, whose bits would be somebody else's
// memory.

#if RONDO_HAS_SELECT

#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event: a descriptor whose bit was found set.
class SelectEvent {
public:
    SelectEvent() noexcept = default;
    SelectEvent(Token token, Readiness readiness) noexcept : token_(token), readiness_(readiness) {}

    Token token() const noexcept { return token_; }
    Readiness readiness() const noexcept { return readiness_; }

private:
    Token token_;
    Readiness readiness_ = Readiness::none;
};

/// A Poller on pselect(2); waits are exact to the nanosecond.
/// Threads: wake() from any thread; everything else from the loop's thread.
template <Memory M>
class BasicSelectPoller {
public:
    using Event = SelectEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{.files_always_ready = true, .fd_limit = FD_SETSIZE};

    static constexpr const char* name() noexcept { return "select"; }

    /// Errors: ERANGE too, when so many descriptors are open that its own is beyond the limit.
    static Result<BasicSelectPoller> open() noexcept {
        auto wake = WakeChannel::open();
        if (!wake) return wake.error();
        if (wake->fd() >= FD_SETSIZE) return failed(ERANGE, wake->fd());
        return BasicSelectPoller(std::move(*wake));
    }

    /// Errors: ENOMEM too, with everything as before.
    Result<void> add(int fd, Interest interest, Token token) noexcept {
        if (any(interest, Interest::edge | Interest::priority)) return failed(ENOTSUP, fd);
        if (fd >= FD_SETSIZE) return failed(ERANGE, fd);
        if (wake_.fd() < 0 || fd < 0 || fcntl(fd, F_GETFD) < 0) return failed(EBADF, fd);
        if (find(fd) != nullptr) return failed(EEXIST, fd);
        const size_t size = static_cast<size_t>(fd) + 1;
        if (!owners_.reserve(size)) return failed(ENOMEM, fd);
        if (owners_.size() < size) owners_.resize(size);
        owners_[size - 1] = {token, true, any(interest, Interest::oneshot)};
        want(fd, interest);
        return {};
    }

    /// Errors: ENOTSUP too, for priority.
    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        Owner* const owner = find(fd);
        if (owner == nullptr) return failed(fd < 0 ? EBADF : ENOENT, fd);
        if (any(to, Interest::priority)) return failed(ENOTSUP, fd);
        owner->token = token;
        want(fd, to);
        return {};
    }

    Result<void> remove(int fd, Interest) noexcept {
        Owner* const owner = find(fd);
        if (owner == nullptr) return failed(fd < 0 ? EBADF : ENOENT, fd);
        want(fd, Interest::none);
        owner->present = false;
        size_t size = owners_.size();
        while (size > 0 && !owners_[size - 1].present) --size;
        owners_.resize(size);
        return {};
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "select");
        FD_ZERO(&broken_);
        int ready = ask(deadline);
        if (ready < 0 && errno == EBADF) {
            find_broken();
            ready = ask(Instant::min());
        }
        if (ready < 0) {
            if (errno == EINTR) return size_t{0};
            return Error(errno, "select");
        }
        if (FD_ISSET(wake_.fd(), &readable_)) wake_.drain();
        return collect(out);
    }

    void wake() noexcept { wake_.wake(); }
    Instant now() const noexcept { return monotonic_now(); }
    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// There is no set in the kernel: this forgets the registrations.
    Result<void> reopen() noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "select");
        empty();
        return {};
    }

    void abandon() noexcept {
        wake_.close();
        owners_.clear();
        system_.abandon();
    }

private:
    struct Owner {
        Token token;
        bool present = false;
        bool oneshot = false;
    };

    explicit BasicSelectPoller(WakeChannel wake) noexcept : wake_(std::move(wake)) { empty(); }

    static Error failed(int code, int fd) noexcept { return Error::on_fd(code, "select", fd); }

    Owner* find(int fd) noexcept {
        const auto at = static_cast<size_t>(fd);
        return at < owners_.size() && owners_[at].present ? &owners_[at] : nullptr;
    }

    void empty() noexcept {
        owners_.clear();
        FD_ZERO(&want_read_);
        FD_ZERO(&want_write_);
        FD_SET(wake_.fd(), &want_read_);
    }

    void want(int fd, Interest interest) noexcept {
        FD_CLR(fd, &want_read_);
        FD_CLR(fd, &want_write_);
        if (any(interest, Interest::read)) FD_SET(fd, &want_read_);
        if (any(interest, Interest::write)) FD_SET(fd, &want_write_);
    }

    int ask(Instant deadline) noexcept {
        timespec timeout{};
        if (deadline != Instant::max() && deadline != Instant::min()) {
            const Duration left = deadline - now();
            if (left > Duration()) timeout = wait_timespec(left);
        }
        readable_ = want_read_;
        writable_ = want_write_;
        for (int fd = 0; fd < count(); ++fd) {
            if (!FD_ISSET(fd, &broken_)) continue;
            FD_CLR(fd, &readable_);
            FD_CLR(fd, &writable_);
        }
        const int numbers = wake_.fd() < count() ? count() : wake_.fd() + 1;
        return pselect(numbers, &readable_, &writable_, nullptr,
                       deadline == Instant::max() ? nullptr : &timeout, nullptr);
    }

    // One closed descriptor makes the whole call fail with EBADF. Those are reported with an error,
    // and the others are asked without them.
    void find_broken() noexcept {
        for (int fd = 0; fd < count(); ++fd) {
            if (wanted(fd) && fcntl(fd, F_GETFD) < 0) FD_SET(fd, &broken_);
        }
    }

    bool wanted(int fd) const noexcept {
        return FD_ISSET(fd, &want_read_) || FD_ISSET(fd, &want_write_);
    }

    Readiness found(int fd) const noexcept {
        Readiness result = Readiness::none;
        if (FD_ISSET(fd, &readable_)) result |= Readiness::readable;
        if (FD_ISSET(fd, &writable_)) result |= Readiness::writable;
        if (FD_ISSET(fd, &broken_)) result |= Readiness::error;
        return result;
    }

    // Starts where the last full batch ended, so that low descriptors don't starve high ones.
    size_t collect(std::span<Event> out) noexcept {
        size_t filled = 0;
        for (int left = count(); left > 0 && filled < out.size(); --left) {
            if (next_ >= count()) next_ = 0;
            const int fd = next_++;
            const Readiness readiness = found(fd);
            const Owner* const owner = find(fd);
            if (readiness == Readiness::none || owner == nullptr) continue;
            out[filled++] = SelectEvent(owner->token, readiness);
            if (owner->oneshot) want(fd, Interest::none);
        }
        return filled;
    }

    int count() const noexcept { return static_cast<int>(owners_.size()); }

    WakeChannel wake_;
    Array<Owner, M> owners_;  // by descriptor
    fd_set want_read_;
    fd_set want_write_;
    fd_set readable_{};
    fd_set writable_{};
    fd_set broken_{};
    int next_ = 0;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

using SelectPoller = BasicSelectPoller<Malloc>;

static_assert(Poller<SelectPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_SELECT

// ---- rondo/config/where.hpp

// Where in the user's program something was registered. Programs built with RONDO_TRACE_LOCATIONS
// keep it for EventLoop::dump(); in all others it is an empty type that costs nothing. (Clang 14
// lacks std::source_location; the builtins are what that is made of.)

namespace rondo::inline RONDO_ABI {

#ifdef RONDO_TRACE_LOCATIONS
/// A place in a source file.
struct Where {
    const char* file = "";
    int line = 0;

    static constexpr Where here(const char* at_file = __builtin_FILE(),
                                int at_line = __builtin_LINE()) noexcept {
        return {at_file, at_line};
    }
};
#else
/// A place in a source file, not kept in this build.
struct Where {
    static constexpr const char* file = "";
    static constexpr int line = 0;

    static constexpr Where here() noexcept { return {}; }
};
#endif

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/buffer.hpp

// Buffer: bytes in one piece, appended at the back and consumed from the front. It holds what a
// parser couldn't use yet: a frame is always contiguous, and an empty buffer holds no memory.
//
// It refuses to be a ring (a frame would come in two pieces) and never shrinks while it holds
// bytes.

#include <stddef.h>
#include <string.h>

#include <cstddef>
#include <span>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// Lifetime: owns its bytes; a span of them is good until the next append or consume.
/// Threads: externally synchronised.
/// Cost: append is amortised O(bytes); consume is O(1).
template <Memory M = Malloc>
class Buffer {
public:
    Buffer() noexcept = default;
    Buffer(Buffer&& other) noexcept
        : bytes_(std::exchange(other.bytes_, nullptr)),
          begin_(std::exchange(other.begin_, 0)),
          end_(std::exchange(other.end_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer taken(std::move(other));
        std::swap(bytes_, taken.bytes_);
        std::swap(begin_, taken.begin_);
        std::swap(end_, taken.end_);
        std::swap(capacity_, taken.capacity_);
        return *this;
    }
    ~Buffer() { clear(); }

    std::span<const std::byte> data() const noexcept { return {bytes_ + begin_, size()}; }
    size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }

    /// Copies `more` to the back. False: memory is out, and nothing changed.
    [[gnu::noinline]] bool append(std::span<const std::byte> more) noexcept {
        if (more.empty()) return true;
        if (!make_room(more.size())) return false;
        memcpy(bytes_ + end_, more.data(), more.size());
        end_ += more.size();
        return true;
    }

    /// Drops `count` bytes from the front.
    void consume(size_t count) noexcept {
        RONDO_ASSERT(count <= size(), "more bytes were consumed than there are");
        begin_ += count;
        if (begin_ == end_) clear();
    }

    /// Drops all bytes and gives the memory back.
    void clear() noexcept {
        if (bytes_ != nullptr) M::release(bytes_, capacity_, alignment);
        bytes_ = nullptr;
        begin_ = end_ = capacity_ = 0;
    }

private:
    static constexpr size_t alignment = alignof(max_align_t);
    static constexpr size_t capacity_min = 64;

    // Moves to the front what is there before it asks for memory: at most as many bytes as were
    // consumed since, so appending stays amortised.
    bool make_room(size_t count) noexcept {
        if (count <= capacity_ - end_) return true;
        const size_t held = size();
        if (count > SIZE_MAX / 2 - held) return false;
        if (held + count <= capacity_ && begin_ >= held) {
            memcpy(bytes_, bytes_ + begin_, held);
        } else {
            size_t capacity = capacity_ != 0 ? 2 * capacity_ : capacity_min;
            while (capacity < held + count) capacity *= 2;
            auto* const bytes = static_cast<std::byte*>(M::allocate(capacity, alignment));
            if (bytes == nullptr) return false;
            if (held != 0) memcpy(bytes, bytes_ + begin_, held);
            if (bytes_ != nullptr) M::release(bytes_, capacity_, alignment);
            bytes_ = bytes;
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
        return true;
    }

    std::byte* bytes_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t capacity_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/datagram_queue.hpp

// DatagramQueue: copies of datagrams on their way out, each with its address, in one ring of fixed
// size. The ring is allocated once, at the first datagram, and bounds everything: what doesn't fit
// is refused, because datagrams may be lost and memory may not grow.
//
// A datagram is never cut in two: one that doesn't fit behind the last begins at the front.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// Lifetime: owns its bytes; what gather() shows is good until it is popped.
/// Threads: externally synchronised.
/// Cost: O(bytes) to push, O(1) to pop.
template <Memory M = Malloc>
class DatagramQueue {
    struct Record {
        Endpoint to;
        uint32_t size;
    };

public:
    /// What each datagram takes of the ring beside its bytes, which are rounded up to 4.
    static constexpr size_t overhead = sizeof(Record);

    /// `bytes_max` bounds the ring, the overhead included.
    explicit DatagramQueue(size_t bytes_max) noexcept : capacity_(bytes_max) {}
    DatagramQueue(const DatagramQueue&) = delete;
    DatagramQueue& operator=(const DatagramQueue&) = delete;
    ~DatagramQueue() { clear(); }

    /// Copies a datagram to the back. Answers 0, ENOBUFS if there is no room, or ENOMEM; then
    /// nothing changed.
    [[nodiscard]] int push(std::span<const std::byte> bytes, const Endpoint& to) noexcept {
        if (bytes.size() > capacity_ || bytes.size() > UINT32_MAX) return ENOBUFS;
        const size_t need = taken_by(bytes.size());
        size_t at = end_;
        if (begin_ < end_ || count_ == 0) {
            if (need > capacity_ - end_) {
                if (need > begin_) return ENOBUFS;
                at = 0;
            }
        } else if (need > begin_ - end_) {
            return ENOBUFS;
        }
        if (ring_ == nullptr) {
            ring_ = static_cast<std::byte*>(M::allocate(capacity_, alignof(max_align_t)));
            if (ring_ == nullptr) return ENOMEM;
        }
        if (at != end_) wrap_ = end_;
        ::new (static_cast<void*>(ring_ + at)) Record{to, static_cast<uint32_t>(bytes.size())};
        if (!bytes.empty()) memcpy(ring_ + at + sizeof(Record), bytes.data(), bytes.size());
        end_ = at + need;
        ++count_;
        return 0;
    }

    /// Names the first datagrams, as many as `out` has room for; answers how many.
    size_t gather(std::span<OutDatagram> out) const noexcept {
        const size_t count = count_ < out.size() ? count_ : out.size();
        size_t at = begin_;
        for (size_t i = 0; i < count; ++i) {
            const Record& record = *record_at(at);
            out[i] = {ring_ + at + sizeof(Record), record.size, &record.to};
            at = behind(at);
        }
        return count;
    }

    /// Drops the first `count` datagrams.
    void pop(size_t count) noexcept {
        RONDO_ASSERT(count <= count_, "more datagrams were popped than there are");
        for (size_t i = 0; i < count; ++i) begin_ = behind(begin_);
        count_ -= count;
        if (count_ == 0) begin_ = end_ = 0;
    }

    /// Drops all datagrams and gives the memory back.
    void clear() noexcept {
        if (ring_ != nullptr) M::release(ring_, capacity_, alignof(max_align_t));
        ring_ = nullptr;
        begin_ = end_ = count_ = 0;
    }

    size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }

private:
    static size_t taken_by(size_t bytes) noexcept {
        return sizeof(Record) + (bytes + alignof(Record) - 1) / alignof(Record) * alignof(Record);
    }
    const Record* record_at(size_t at) const noexcept {
        return std::launder(reinterpret_cast<const Record*>(ring_ + at));
    }
    // Where the next one begins. Unless the ring is wrapped, nobody asks behind the last.
    size_t behind(size_t at) const noexcept {
        const size_t next = at + taken_by(record_at(at)->size);
        return end_ <= begin_ && next == wrap_ ? 0 : next;
    }

    const size_t capacity_;
    std::byte* ring_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t wrap_ = 0;  // where the datagrams of the upper part end, once there are some in front
    size_t count_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/error_code.hpp

// The way from an Error to the standard library's std::error_code, for programs that use it.

#include <system_error>

namespace rondo::inline RONDO_ABI {

/// The same number in std::generic_category(); of a NameError, the errno that comes next to it.
inline std::error_code to_error_code(const Error& error) noexcept {
    return {detail::errno_of(error.code()), std::generic_category()};
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/handler.hpp

// Handler<R(Args...)>: a move-only callable, type-erased and stored in place, called through one
// function pointer. (std::function demands copies; std::move_only_function is C++23.)
//
// A callable may take all of the arguments or only the last few: a handler of (int fd, Readiness)
// also takes (Readiness) or nothing. What is larger than Capacity goes to the Memory policy; with
// InPlaceOnly as the policy it is a compile error. A handler whose allocation failed is empty.

#include <stddef.h>
#include <string.h>

#include <concepts>
#include <new>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// In place of a Memory policy: a callable that doesn't fit is refused by the compiler.
struct InPlaceOnly {};

namespace detail {

template <class F, class... Args>
concept CallableWith = requires(F& f) { f(std::declval<Args>()...); };

// The tail of an argument list that F can be called with: the longest that fits.
template <class F, class... Args>
struct CallTail {
    static constexpr bool found = false;
};
template <class F>
    requires CallableWith<F>
struct CallTail<F> {
    static constexpr bool found = true;
    static decltype(auto) call(F& f) { return f(); }
};
template <class F, class First, class... Rest>
    requires CallableWith<F, First, Rest...>
struct CallTail<F, First, Rest...> {
    static constexpr bool found = true;
    static decltype(auto) call(F& f, First first, Rest... rest) {
        return f(static_cast<First&&>(first), static_cast<Rest&&>(rest)...);
    }
};
template <class F, class First, class... Rest>
    requires(!CallableWith<F, First, Rest...>)
struct CallTail<F, First, Rest...> {
    static constexpr bool found = CallTail<F, Rest...>::found;
    static decltype(auto) call(F& f, First, Rest... rest) {
        return CallTail<F, Rest...>::call(f, static_cast<Rest&&>(rest)...);
    }
};

template <class F, size_t Capacity>
inline constexpr bool fits_in_place = sizeof(F) <= Capacity && alignof(F) <= alignof(max_align_t) &&
                                      std::is_nothrow_move_constructible_v<F>;

}  // namespace detail

/// A callable that takes Args..., or only the last few of them.
template <class F, class... Args>
concept CallableWithTail = detail::CallTail<std::decay_t<F>, Args...>::found;

template <class Signature, size_t Capacity = 48, class M = Malloc>
class Handler;

namespace detail {

// A callable that can be seen to hold nothing makes an empty handler: a null pointer, an empty
// Handler, a std::function without a target. A lambda turns into a pointer, and is never empty.
template <class F>
bool holds_nothing(const F& callable) noexcept {
    if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
        return callable == nullptr;
    } else if constexpr (requires { static_cast<bool>(callable); } && !requires { +callable; }) {
        return !static_cast<bool>(callable);
    } else {
        return false;
    }
}

}  // namespace detail

/// Lifetime: owns the callable; destroyed with the handler, moved with it.
/// Threads: externally synchronised, as the callable itself.
/// Cost: one indirect call; no allocation for callables of up to Capacity bytes.
template <class R, class... Args, size_t Capacity, class M>
class Handler<R(Args...), Capacity, M> {
    static_assert(Capacity >= sizeof(void*), "a handler has room for a pointer at least");

public:
    Handler() noexcept = default;

    template <class F>
        requires(!std::derived_from<std::remove_cvref_t<F>, Handler>)
    Handler(F&& callable) noexcept(std::is_nothrow_constructible_v<std::decay_t<F>, F> &&
                                   detail::fits_in_place<std::decay_t<F>, Capacity>) {
        emplace(static_cast<F&&>(callable));
    }

    Handler(Handler&& other) noexcept { take(other); }
    Handler& operator=(Handler&& other) noexcept {
        if (this != &other) {
            // Destroyed last: the old callable may own `other`, and may use this handler.
            Handler old(static_cast<Handler&&>(*this));
            take(other);
        }
        return *this;
    }
    ~Handler() {
        if (manage_ != nullptr) manage_(storage_, nullptr);
    }

    /// False if there is nothing to call: default-constructed, moved from, made of a null pointer
    /// or of an empty Handler, or out of memory.
    explicit operator bool() const noexcept { return call_ != nullptr; }

    R operator()(Args... args) {
        RONDO_ASSERT(call_ != nullptr, "an empty handler was called: give it a callable first");
        return call(static_cast<Args&&>(args)...);
    }
    /// The same without a look whether there is something to call.
    R call(Args... args) { return call_(storage_, static_cast<Args&&>(args)...); }

    /// Destroys the callable, whose destructor finds this handler empty and may give it another.
    void reset() noexcept { const Handler old(static_cast<Handler&&>(*this)); }

private:
    template <class F>
    void emplace(F&& callable) {
        using Fn = std::decay_t<F>;
        static_assert(CallableWithTail<Fn, Args...>,
                      "a handler's callable takes its arguments, or only the last few of them");
        if (detail::holds_nothing<Fn>(callable)) return;
        if constexpr (!CallableWithTail<Fn, Args...>) {
            return;  // one error is enough
        } else if constexpr (detail::fits_in_place<Fn, Capacity>) {
            // Moving copies the whole storage, so all of it has a value.
            if constexpr (std::is_trivially_copyable_v<Fn>) memset(storage_, 0, Capacity);
            ::new (static_cast<void*>(storage_)) Fn(static_cast<F&&>(callable));
            call_ = &call_in_place<Fn>;
            if constexpr (!std::is_trivially_copyable_v<Fn>) manage_ = &manage_in_place<Fn>;
        } else {
            static_assert(
                !std::same_as<M, InPlaceOnly>,
                "this callable is too large to be stored in place (or its move may throw): "
                "capture less, or a pointer, or give the Handler more Capacity");
            if constexpr (!std::same_as<M, InPlaceOnly>)
                emplace_elsewhere<Fn>(static_cast<F&&>(callable));
        }
    }

    template <class Fn, class F>
    void emplace_elsewhere(F&& callable) {
        void* const memory = M::allocate(sizeof(Fn), alignof(Fn));
        if (memory == nullptr) return;
        struct Guard {
            void* memory;
            ~Guard() {
                if (memory != nullptr) M::release(memory, sizeof(Fn), alignof(Fn));
            }
        } guard{memory};
        Fn* const fn = ::new (memory) Fn(static_cast<F&&>(callable));
        guard.memory = nullptr;
        ::new (static_cast<void*>(storage_)) Fn*(fn);
        call_ = &call_elsewhere<Fn>;
        manage_ = &manage_elsewhere<Fn>;
    }

    template <class Fn>
    static R call_in_place(void* storage, Args... args) {
        return call<Fn>(*static_cast<Fn*>(storage), static_cast<Args&&>(args)...);
    }
    template <class Fn>
    static R call_elsewhere(void* storage, Args... args) {
        return call<Fn>(**static_cast<Fn**>(storage), static_cast<Args&&>(args)...);
    }
    template <class Fn>
    static R call(Fn& fn, Args&&... args) {
        using Tail = detail::CallTail<Fn, Args...>;
        if constexpr (std::is_void_v<R>) {
            static_cast<void>(Tail::call(fn, static_cast<Args&&>(args)...));
        } else {
            return Tail::call(fn, static_cast<Args&&>(args)...);
        }
    }

    // Moves the callable to raw storage at `to` and destroys the rest; only destroys if `to` is
    // null.
    template <class Fn>
    static void manage_in_place(void* from, void* to) noexcept {
        Fn* const fn = static_cast<Fn*>(from);
        if (to != nullptr) ::new (to) Fn(static_cast<Fn&&>(*fn));
        fn->~Fn();
    }
    template <class Fn>
    static void manage_elsewhere(void* from, void* to) noexcept {
        Fn* const fn = *static_cast<Fn**>(from);
        if (to != nullptr) {
            ::new (to) Fn*(fn);
        } else {
            fn->~Fn();
            M::release(fn, sizeof(Fn), alignof(Fn));
        }
    }

    void take(Handler& other) noexcept {
        call_ = std::exchange(other.call_, nullptr);
        manage_ = std::exchange(other.manage_, nullptr);
        if (manage_ != nullptr) {
            manage_(other.storage_, storage_);
        } else if (call_ != nullptr) {
            memcpy(storage_, other.storage_, Capacity);
        }
    }

    alignas(max_align_t) unsigned char storage_[Capacity];
    R (*call_)(void*, Args...) = nullptr;
    void (*manage_)(void*, void*) noexcept = nullptr;
};

static_assert(sizeof(void*) != 8 || sizeof(Handler<void()>) == 64, "a handler is one cache line");

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/outcome.hpp

// Outcome<R>: what became of a job that ran elsewhere: the value that it returned, or the exception
// that left it. It is carried back to whoever asked for the work. (A Result holds an Error, which
// is what a call of ours has to say; an Outcome holds what a user's function did.)
//
// Built without exceptions there is always a value.

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// Move-only if R is.
/// Threads: a value; externally synchronised.
template <class R>
class Outcome {
    struct Nothing {};
    using Value = std::conditional_t<std::is_void_v<R>, Nothing, R>;

public:
    /// Of no job: neither a value nor an exception.
    Outcome() noexcept = default;

    /// Calls `job` and keeps what it returns or throws.
    template <class F>
    void run(F& job) noexcept {
#if RONDO_HAS_EXCEPTIONS
        try {
            keep(job);
        } catch (...) {
            exception_ = std::current_exception();
        }
#else
        keep(job);
#endif
    }

    /// True if the job has returned.
    explicit operator bool() const noexcept { return value_.has_value(); }
    /// What the job has thrown; null if nothing.
    const std::exception_ptr& exception() const noexcept { return exception_; }

    /// What the job has returned.
    Value& operator*() noexcept {
        RONDO_ASSERT(value_, "look whether an Outcome holds a value before you take it");
        return *value_;
    }
    Value* operator->() noexcept { return &**this; }

    /// What the job has returned, moved out.
    /// Errors: throws what the job has thrown.
    R value() {
        if (exception_) std::rethrow_exception(exception_);
        if constexpr (!std::is_void_v<R>) return std::move(**this);
    }

private:
    template <class F>
    void keep(F& job) {
        if constexpr (std::is_void_v<R>) {
            job();
            value_.emplace();
        } else {
            value_.emplace(job());
        }
    }

    std::optional<Value> value_;
    std::exception_ptr exception_;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/pool.hpp

// Pool<T>: objects of one type in large chunks, with addresses that never change. A freed place is
// taken again first; memory goes back to the system with the pool.
//
// It doesn't know which places are in use: whoever owns the objects destroys them.

#include <stddef.h>

#include <new>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// Lifetime: every object must have been destroyed before the pool.
/// Threads: externally synchronised.
/// Cost: create and destroy are a few instructions; one allocation per ChunkSize objects.
template <class T, Memory M = Malloc, size_t ChunkSize = 64>
class Pool {
public:
    Pool() noexcept = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        while (chunks_ != nullptr) {
            Chunk* const next = chunks_->next;
            M::release(chunks_, sizeof(Chunk), alignof(Chunk));
            chunks_ = next;
        }
    }

    /// nullptr if memory is out, and `args` are as before. The constructor of T may use the pool;
    /// if it throws, the place is free again.
    template <class... Args>
    T* create(Args&&... args) {
        if (free_ == nullptr && !grow()) return nullptr;
        Taken taken{*this, free_};
        free_ = free_->next_free;
        T* const object =
            ::new (static_cast<void*>(taken.place->bytes)) T(std::forward<Args>(args)...);
        taken.place = nullptr;
        return object;
    }

    /// The destructor of T may use the pool.
    void destroy(T* object) noexcept {
        object->~T();
        give_back(reinterpret_cast<Place*>(object));
    }

private:
    union Place {
        Place* next_free;
        alignas(T) unsigned char bytes[sizeof(T)];
    };
    struct Chunk {
        Place places[ChunkSize];
        Chunk* next;
    };

    // A place between the free list and its object.
    struct Taken {
        Pool& pool;
        Place* place;
        ~Taken() {
            if (place != nullptr) pool.give_back(place);
        }
    };

    void give_back(Place* place) noexcept {
        place->next_free = free_;
        free_ = place;
    }

    [[gnu::cold, gnu::noinline]] bool grow() noexcept {
        void* const memory = M::allocate(sizeof(Chunk), alignof(Chunk));
        if (memory == nullptr) return false;
        Chunk* const chunk = ::new (memory) Chunk;
        chunk->next = chunks_;
        chunks_ = chunk;
        for (size_t i = ChunkSize; i-- > 0;) give_back(&chunk->places[i]);
        return true;
    }

    Place* free_ = nullptr;
    Chunk* chunks_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/task_node.hpp

// TaskNode: one closure that waits to run, in one cache line. A link, one function pointer that
// runs and destroys (or only destroys) the closure, and 48 bytes for the closure itself. A closure
// that is larger, or aligned to more than 16, costs one allocation, and the node holds a pointer to
// it.
//
// One pointer instead of a table of two, because a task is run once and destroyed in the same
// breath. A node doesn't own itself: who takes it out of a list calls run() or discard(), once, and
// gives the empty node back to its pool.

#include <stddef.h>

#include <new>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

struct alignas(64) TaskNode {
    static constexpr size_t capacity = 48;
    static constexpr size_t alignment = 16;

    TaskNode* next;
    void (*operate)(TaskNode*, bool run);
    union {
        alignas(alignment) unsigned char closure[capacity];
        void* outside;    // a closure too large for the node
        TaskNode* below;  // while free: the next bundle of the pool
    };

    /// True if a closure of this type needs no allocation.
    template <class F>
    static constexpr bool fits = sizeof(F) <= capacity && alignof(F) <= alignment;

    /// Builds the closure into an empty node. False: out of memory; the node is empty and `f` as it
    /// was. What the closure's constructor throws leaves the node empty.
    template <Memory M, class F>
    bool fill(F&& f) {
        using Closure = std::decay_t<F>;
        static_assert(std::is_invocable_v<Closure&>,
                      "a task is called without arguments: void(), such as [] { ... }");
        RONDO_ASSERT(!holds_nothing<Closure>(f), "an empty task was given: give it a callable");
        if constexpr (fits<Closure>) {
            ::new (static_cast<void*>(closure)) Closure(std::forward<F>(f));
            operate = &operate_inside<Closure>;
        } else {
            void* place = M::allocate(sizeof(Closure), alignof(Closure));
            if (place == nullptr) return false;
            Block<M, Closure> block{place};
            ::new (place) Closure(std::forward<F>(f));
            outside = std::exchange(block.place, nullptr);
            operate = &operate_outside<M, Closure>;
        }
        return true;
    }

    /// Calls the closure and destroys it, also if it throws. The node is empty afterwards.
    void run() { operate(this, true); }
    /// Destroys the closure without calling it. The node is empty afterwards.
    void discard() { operate(this, false); }

private:
    template <Memory M, class Closure>
    struct Block {
        void* place;
        ~Block() {
            if (place != nullptr) M::release(place, sizeof(Closure), alignof(Closure));
        }
    };

    template <class Closure>
    static void call(Closure* closure, bool run) {
        struct Last {
            Closure* closure;
            ~Last() { closure->~Closure(); }
        } last{closure};
        if (run) static_cast<void>((*closure)());
    }

    template <class Closure>
    static void operate_inside(TaskNode* node, bool run) {
        call(std::launder(reinterpret_cast<Closure*>(node->closure)), run);
    }

    template <Memory M, class Closure>
    static void operate_outside(TaskNode* node, bool run) {
        Block<M, Closure> block{node->outside};
        call(static_cast<Closure*>(block.place), run);
    }
};

static_assert(sizeof(void*) != 8 || sizeof(TaskNode) == 64, "a task is one cache line");

/// A FIFO of nodes.
class TaskList {
public:
    bool empty() const noexcept { return head_ == nullptr; }

    void append(TaskNode* node) noexcept { append(node, node); }

    /// Appends a chain; `last->next` is overwritten.
    void append(TaskNode* first, TaskNode* last) noexcept {
        last->next = nullptr;
        if (head_ == nullptr) {
            head_ = first;
        } else {
            tail_->next = first;
        }
        tail_ = last;
    }

    /// Moves everything out of `other` to the end of this list.
    void append(TaskList& other) noexcept {
        if (other.empty()) return;
        append(std::exchange(other.head_, nullptr), other.tail_);
    }

    /// The first node, taken out; nullptr if there is none.
    TaskNode* pop() noexcept {
        TaskNode* node = head_;
        if (node != nullptr) head_ = node->next;
        return node;
    }

private:
    TaskNode* head_ = nullptr;
    TaskNode* tail_ = nullptr;  // meaningful only while head_ is set
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/core/task_pool.hpp

// Where task nodes come from and go back to. TaskPool is shared by all threads of a queue and hands
// out bundles, chains of up to 255 free nodes; TaskCache is one thread's own bundle and needs the
// pool once per bundle, so that a post touches no shared line but the queue's head.
//
// Nodes come back in whole slabs: the consumer only counts, and when a slab's last node is back the
// slab is a bundle again, in the order of its addresses. (Chained in the order in which they ran,
// the nodes of several producers mix for good, and posts get slower with every round: measured.) A
// slab stays out while one of its tasks waits.
//
// Bundles are pushed with one compare-and-swap and popped under a spin lock, held for three
// instructions: with one popper at a time the bundle on top can't leave and come back behind its
// back (ABA). Slabs are given back to the system when the pool dies.

#include <stddef.h>

#include <atomic>
#include <new>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

/// Tells the processor that this is a loop that waits for another one.
inline void spin_pause() noexcept { RONDO_SPIN_PAUSE(); }

template <Memory M>
class TaskPool {
public:
    static constexpr size_t bundle_size = 255;  // with its head, a slab is 16 KiB

    TaskPool() noexcept = default;
    TaskPool(const TaskPool&) = delete;
    TaskPool& operator=(const TaskPool&) = delete;

    /// Every node must be empty by now.
    ~TaskPool() {
        Slab* slab = slabs_.load(std::memory_order_relaxed);
        while (slab != nullptr) {
            M::release(std::exchange(slab, slab->next), sizeof(Slab), alignof(Slab));
        }
    }

    /// A chain of at least one free node, ended by nullptr; nullptr: out of memory.
    /// Threads: any.
    TaskNode* pop_bundle() noexcept {
        lock();
        TaskNode* bundle = pop_locked();
        unlock();
        return bundle != nullptr ? bundle : new_slab();
    }

    /// Gives a chain, ended by nullptr, back.
    /// Threads: any.
    void push_bundle(TaskNode* first) noexcept {
        // release: whoever pops the bundle must see its links.
        TaskNode* top = free_.load(std::memory_order_relaxed);
        do {
            first->below = top;
        } while (!free_.compare_exchange_weak(top, first, std::memory_order_release,
                                              std::memory_order_relaxed));
    }

    /// One node, for threads without a cache; nullptr: out of memory.
    /// Threads: any.
    TaskNode* pop_node() noexcept {
        lock();
        if (loose_ == nullptr) loose_ = pop_locked();
        TaskNode* node = loose_;
        if (node != nullptr) loose_ = node->next;
        unlock();
        if (node != nullptr) return node;

        node = new_slab();  // not under the lock: allocating takes long
        if (node != nullptr) push_bundle(node->next);
        return node;
    }

    /// Threads: any.
    void push_node(TaskNode* node) noexcept {
        node->next = nullptr;
        push_bundle(node);
    }

    /// Gives a node back that has been through the queue, and is empty by now.
    /// Threads: the consumer.
    void give_back(TaskNode* node) noexcept {
        constexpr auto mask = ~static_cast<uintptr_t>(sizeof(Slab) - 1);
        Slab* const slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(node) & mask);
        if (++slab->returned != bundle_size) return;
        slab->returned = 0;
        push_bundle(chain(*slab));
    }

    /// In the child after fork: frees the lock that a thread of the parent may have held.
    void abandon() noexcept { unlock(); }

private:
    // Aligned to its size, so that a node's address tells its slab.
    struct alignas(16384) Slab {
        Slab* next;
        size_t returned;  // the consumer's: nodes that are back, while others are out
        TaskNode nodes[bundle_size];
    };
    static_assert(sizeof(Slab) == 16384);

    // All nodes of a slab, in the order of their addresses.
    static TaskNode* chain(Slab& slab) noexcept {
        for (size_t i = 0; i + 1 < bundle_size; ++i) slab.nodes[i].next = &slab.nodes[i + 1];
        slab.nodes[bundle_size - 1].next = nullptr;
        return slab.nodes;
    }

    void lock() noexcept {
        while (locked_.exchange(true, std::memory_order_acquire)) {
            while (locked_.load(std::memory_order_relaxed)) spin_pause();
        }
    }
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

    TaskNode* pop_locked() noexcept {
        // acquire: the links were written by the thread that pushed. Nobody else pops, so `top`
        // stays in the list, and its link unchanged, until the exchange succeeds.
        TaskNode* top = free_.load(std::memory_order_acquire);
        while (top != nullptr &&
               !free_.compare_exchange_weak(top, top->below, std::memory_order_acquire,
                                            std::memory_order_acquire)) {
        }
        return top;
    }

    [[gnu::cold, gnu::noinline]] TaskNode* new_slab() noexcept {
        void* place = M::allocate(sizeof(Slab), alignof(Slab));
        if (place == nullptr) return nullptr;
        RONDO_ASSERT(reinterpret_cast<uintptr_t>(place) % alignof(Slab) == 0,
                     "the Memory policy must honour the alignment that it is asked for");
        Slab* slab = ::new (place) Slab;
        slab->returned = 0;
        static_cast<void>(chain(*slab));

        // relaxed: only the destructor reads the list, and dropping the last reference orders it.
        slab->next = slabs_.load(std::memory_order_relaxed);
        while (!slabs_.compare_exchange_weak(slab->next, slab, std::memory_order_relaxed)) {
        }
        return slab->nodes;
    }

    std::atomic<TaskNode*> free_{nullptr};  // a stack of bundles, linked by `below`
    std::atomic<Slab*> slabs_{nullptr};
    TaskNode* loose_ = nullptr;  // under the lock
    std::atomic<bool> locked_{false};
};

/// One thread's free nodes.
/// Threads: one at a time. The pool is an argument, not a member: a cache is one word.
template <Memory M>
class TaskCache {
public:
    TaskCache() noexcept = default;
    TaskCache(TaskCache&& other) noexcept : top_(std::exchange(other.top_, nullptr)) {}
    TaskCache& operator=(TaskCache&&) = delete;

    void swap(TaskCache& other) noexcept { std::swap(top_, other.top_); }

    /// A free node; nullptr: out of memory.
    TaskNode* take(TaskPool<M>& pool) noexcept {
        if (top_ == nullptr) top_ = pool.pop_bundle();
        if (top_ == nullptr) return nullptr;
        TaskNode* node = top_;
        top_ = node->next;
        return node;
    }

    /// Puts a node back that was taken and then not used.
    void untake(TaskNode* node) noexcept {
        node->next = top_;
        top_ = node;
    }

    /// Gives everything back.
    void flush(TaskPool<M>& pool) noexcept {
        if (top_ != nullptr) pool.push_bundle(std::exchange(top_, nullptr));
    }

private:
    TaskNode* top_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/core/post_queue.hpp

// The way into a loop for other threads: many producers, one consumer. Producers push closures onto
// a stack with one compare-and-swap; the consumer takes the whole stack with one exchange and turns
// it round, so the tasks of one producer run in the order of its posts. "Asleep" and "closed" are
// values of the stack's head, so that the same compare-and-swap tells a producer whether the loop
// is gone or must be woken.
//
// The queue is a reference-counted block that outlives its loop: a Producer can post to a loop that
// is gone, and is told so. It knows neither a poller nor threads: waking is a function pointer.

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <new>
#include <utility>

// Sleeping (tests/model/wake.pml tries all orders). The head is empty, asleep, closed, or a node.
//   Consumer  S1  prepare_sleep(): compare-and-swap empty -> asleep; if that fails there is work.
//             S2  the loop looks again at its stop flag and at has_foreground(), and calls awake()
//                 if either says so.
//             S3  the loop blocks in the kernel.
//             S4  awake(): compare-and-swap asleep -> empty; if that fails somebody has taken the
//                 tag.
//   Producer  P1  post(): compare-and-swap head -> node. Who replaces "asleep" by its node
//             P2  calls wake, alone, and then counts it as finished.
//   Anybody   Q1  changes what the loop looks at in S2.
//             Q2  poke(): rewrites the head, "asleep" as empty, any other value as itself. Who
//                 replaces "asleep" goes on with P2.
// So a sleep is woken at most once, and a loop that doesn't sleep never. All of S1, P1 and Q2 are
// read-modify-writes of one word and therefore have one order: a Q2 before S1 hands its Q1 over to
// S2 (release, acquire), a Q2 or P1 after S1 finds "asleep" or the value of another one that did.
//
// Where no other thread exists nobody can come between the steps but a signal handler, which sees
// what its own thread has written: S1 and S4 are plain loads and stores then.
//
// Closing. A producer that has taken the tag is about to call wake on a poller that is about to
// die. So the consumer counts the tags that it found taken, and close() waits until as many wakes
// finished.

namespace rondo::inline RONDO_ABI {

/// What became of a posted closure.
enum class PostStatus : unsigned char {
    queued,     ///< it will be run once, or destroyed once if the loop ends first
    loop_gone,  ///< the loop has been destroyed; the closure too
    no_memory,  ///< nothing happened; the closure is where it was
};

namespace detail {

template <Memory M>
class PostQueue {
public:
    using Wake = void (*)(void*) noexcept;
    class Producer;

    /// A queue with one reference, the consumer's, to be given up with close(); nullptr: out of
    /// memory. `wake(context)` is called by other threads, at most once per sleep.
    static PostQueue* create(Wake wake, void* context) noexcept {
        void* place = M::allocate(sizeof(PostQueue), alignof(PostQueue));
        return place == nullptr ? nullptr : ::new (place) PostQueue(wake, context);
    }

    PostQueue(const PostQueue&) = delete;
    PostQueue& operator=(const PostQueue&) = delete;

    /// A new producer, which keeps the loop alive (see set_background).
    /// Threads: any, as long as the loop exists.
    Producer producer() noexcept { return Producer(*this); }

    /// Posts without a producer: two more shared words per call. False: out of memory, or closed.
    /// Threads: any, as long as the loop exists.
    template <class F>
    bool post_shared(F&& f);

    /// Ends the current sleep, or does nothing if the loop is awake. What the caller wrote before
    /// is seen by the loop before it sleeps again. True: woke it.
    /// Threads: any, as long as the loop exists.
    bool poke() noexcept;

    /// True while a producer exists that keeps the loop alive.
    bool has_foreground() const noexcept {
        // acquire: whoever sees the last one gone sees what it has posted.
        return foreground_.load(std::memory_order_acquire) != 0;
    }

    // The rest is the consumer's: one thread, the loop's.

    /// Appends to the tasks of the next take(), without an atomic instruction. False: out of
    /// memory, or closed; the closure is where it was.
    template <class F>
    bool defer(F&& f);

    /// Moves all that is queued now behind what is left of the batch: first what was deferred, in
    /// order, then what was posted, in the order of arrival. True: the batch isn't empty.
    bool take() noexcept;

    /// Runs the first task of the batch and destroys it; what it throws comes through, with the
    /// rest of the batch untouched. The task may post, defer, take and run others of the batch.
    /// False: the batch is empty.
    bool run_one();

    /// True if tasks are left in the batch.
    bool has_rest() const noexcept { return !batch_.empty(); }

    /// True if tasks are left in the batch, or deferred, or posted.
    bool has_work() const noexcept {
        return !batch_.empty() || !deferred_.empty() ||
               head_.load(std::memory_order_relaxed) > closed;
    }

    /// S1. False: there is work, don't sleep. `alone`: at this moment no other thread exists.
    [[gnu::always_inline]] bool prepare_sleep(bool alone = false) noexcept;

    /// S4. Does nothing if the consumer isn't asleep. `alone` as above.
    [[gnu::always_inline]] void awake(bool alone = false) noexcept;

    /// In the child after fork, before close(): forgets the threads that don't exist there.
    void abandon() noexcept {
        abandoned_ = true;
        pool_.abandon();
    }

    /// The consumer's farewell: no wake happens afterwards, every waiting closure is destroyed, and
    /// later posts are refused. Destructors of closures may use the queue. Afterwards the caller
    /// doesn't touch it again.
    [[gnu::cold]] void close() noexcept;

private:
    // Values of the head that are not a node.
    static constexpr uintptr_t empty = 0;
    static constexpr uintptr_t asleep = 1;
    static constexpr uintptr_t closed = 2;

    PostQueue(Wake wake, void* context) noexcept : wake_(wake), context_(context) {}
    ~PostQueue() = default;

    static TaskNode* as_node(uintptr_t head) noexcept {
        return head > closed ? reinterpret_cast<TaskNode*>(head) : nullptr;
    }

    bool push(TaskNode* node) noexcept;
    void finish_wake() noexcept;
    void append_posted(uintptr_t head) noexcept;

    // Puts a node back into its cache at the end of a scope, unless it has been queued.
    struct Unused {
        TaskCache<M>& cache;
        TaskNode* node;
        ~Unused() {
            if (node != nullptr) cache.untake(node);
        }
    };

    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        // acq_rel: all that was done to the block happens before its end.
        if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        this->~PostQueue();
        M::release(this, sizeof(PostQueue), alignof(PostQueue));
    }

    void enter_foreground() noexcept { foreground_.fetch_add(1, std::memory_order_relaxed); }
    void leave_foreground() noexcept {
        if (foreground_.fetch_sub(1, std::memory_order_release) == 1) poke();
    }

    // Four cache lines: what every post writes; what is written now and then; the pool; the
    // consumer's.
    alignas(64) std::atomic<uintptr_t> head_{empty};

    alignas(64) const Wake wake_;
    void* const context_;
    std::atomic<size_t> references_{1};
    std::atomic<size_t> foreground_{0};
    std::atomic<size_t> wakes_finished_{0};

    alignas(64) TaskPool<M> pool_;

    alignas(64) TaskList batch_;
    TaskList deferred_;
    TaskCache<M> cache_;
    size_t tags_taken_ = 0;
    bool sleeping_ = false;
    bool closing_ = false;
    bool abandoned_ = false;
};

/// One thread's door to the queue. A copy is a new producer of the same kind, for another thread. A
/// producer that was moved from, or default-constructed, answers loop_gone.
/// Lifetime: may outlive the loop.
/// Threads: externally synchronised.
template <Memory M>
class PostQueue<M>::Producer {
public:
    Producer() noexcept = default;
    explicit Producer(PostQueue& queue) noexcept : queue_(&queue) {
        queue.retain();
        queue.enter_foreground();
    }

    Producer(const Producer& other) noexcept
        : queue_(other.queue_), background_(other.background_) {
        if (queue_ == nullptr) return;
        queue_->retain();
        if (!background_) queue_->enter_foreground();
    }
    Producer(Producer&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)),
          cache_(std::move(other.cache_)),
          background_(other.background_) {}

    Producer& operator=(Producer other) noexcept {
        std::swap(queue_, other.queue_);
        cache_.swap(other.cache_);
        std::swap(background_, other.background_);
        return *this;
    }

    ~Producer() {
        if (queue_ == nullptr) return;
        cache_.flush(queue_->pool_);
        if (!background_) queue_->leave_foreground();
        queue_->release();
    }

    /// Builds the closure in a node and queues it.
    /// Errors: see PostStatus; what the closure's constructor throws leaves everything as it was.
    /// Cost: one compare-and-swap; no allocation after warm-up for closures of up to 48 bytes.
    template <class F>
    PostStatus post(F&& f);

    /// Ends the loop's current sleep, if it sleeps. True: woke it.
    bool poke() noexcept { return queue_ != nullptr && queue_->poke(); }

    /// True: doesn't keep the loop alive.
    void set_background(bool background) noexcept {
        if (background == background_) return;
        background_ = background;
        if (queue_ == nullptr) return;
        background ? queue_->leave_foreground() : queue_->enter_foreground();
    }
    bool background() const noexcept { return background_; }

private:
    PostQueue* queue_ = nullptr;
    TaskCache<M> cache_;
    bool background_ = false;
};

template <Memory M>
template <class F>
PostStatus PostQueue<M>::Producer::post(F&& f) {
    if (queue_ == nullptr) return PostStatus::loop_gone;
    TaskNode* node = cache_.take(queue_->pool_);
    if (node == nullptr) return PostStatus::no_memory;
    Unused unused{cache_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return PostStatus::no_memory;
    unused.node = nullptr;
    // From here on this producer may be gone: the closure may own it.
    PostQueue* const queue = queue_;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): until then it holds the queue
    if (queue->push(node)) return PostStatus::queued;
    queue->retain();
    node->discard();
    queue->pool_.push_node(node);
    queue->release();
    return PostStatus::loop_gone;
}

template <Memory M>
template <class F>
bool PostQueue<M>::post_shared(F&& f) {
    TaskNode* node = pool_.pop_node();
    if (node == nullptr) return false;
    struct GiveBack {
        TaskPool<M>& pool;
        TaskNode* node;
        ~GiveBack() {
            if (node != nullptr) pool.push_node(node);
        }
    } unused{pool_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return false;
    if (!push(node)) {
        node->discard();
        return false;
    }
    unused.node = nullptr;
    return true;
}

template <Memory M>
template <class F>
bool PostQueue<M>::defer(F&& f) {
    if (closing_) return false;
    TaskNode* node = cache_.take(pool_);
    if (node == nullptr) return false;
    Unused unused{cache_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return false;
    unused.node = nullptr;
    deferred_.append(node);
    return true;
}

// P1. release: the node's contents go to the consumer's exchange. The consumer reads the newest
// push, and every push continues the release sequence of the older ones, so all of them are
// visible.
template <Memory M>
bool PostQueue<M>::push(TaskNode* node) noexcept {
    uintptr_t head = head_.load(std::memory_order_relaxed);
    do {
        if (head == closed) return false;
        node->next = as_node(head);
    } while (!head_.compare_exchange_weak(head, reinterpret_cast<uintptr_t>(node),
                                          std::memory_order_release, std::memory_order_relaxed));
    if (head == asleep) finish_wake();
    return true;
}

// Q2. Always a write, even of the same value, so that S1 has something to synchronise with.
template <Memory M>
bool PostQueue<M>::poke() noexcept {
    uintptr_t head = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(head, head == asleep ? empty : head,
                                        std::memory_order_release, std::memory_order_relaxed)) {
    }
    if (head != asleep) return false;
    finish_wake();
    return true;
}

// P2. release: close() must not go on before the call has returned.
template <Memory M>
void PostQueue<M>::finish_wake() noexcept {
    wake_(context_);
    wakes_finished_.fetch_add(1, std::memory_order_release);
}

template <Memory M>
bool PostQueue<M>::take() noexcept {
    batch_.append(deferred_);
    // The look ahead spares a quiet turn the exchange; what it misses, S1 finds.
    if (as_node(head_.load(std::memory_order_relaxed)) != nullptr) {
        append_posted(head_.exchange(empty, std::memory_order_acquire));
    }
    return !batch_.empty();
}

template <Memory M>
void PostQueue<M>::append_posted(uintptr_t head) noexcept {
    TaskNode* const newest = as_node(head);
    if (newest == nullptr) return;
    TaskNode* first = nullptr;
    for (TaskNode* node = newest; node != nullptr;) {
        TaskNode* older = std::exchange(node->next, first);
        first = std::exchange(node, older);
    }
    batch_.append(first, newest);
}

template <Memory M>
bool PostQueue<M>::run_one() {
    TaskNode* node = batch_.pop();
    if (node == nullptr) return false;
    struct Ran {
        TaskPool<M>& pool;
        TaskNode* node;
        ~Ran() { pool.give_back(node); }
    } const ran{pool_, node};
    node->run();
    return true;
}

template <Memory M>
inline bool PostQueue<M>::prepare_sleep(bool alone) noexcept {
    awake(alone);
    if (!batch_.empty() || !deferred_.empty()) return false;
    uintptr_t head = empty;
    if (alone) {
        if (head_.load(std::memory_order_relaxed) != empty) return false;
        head_.store(asleep, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        return sleeping_ = true;
    }
    // acquire: what was written before a poke() that came earlier is seen in S2.
    sleeping_ = head_.compare_exchange_strong(head, asleep, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    return sleeping_;
}

template <Memory M>
inline void PostQueue<M>::awake(bool alone) noexcept {
    if (!sleeping_) return;
    sleeping_ = false;
    uintptr_t head = asleep;
    if (alone) {
        if (head_.load(std::memory_order_relaxed) == asleep) {
            head_.store(empty, std::memory_order_relaxed);
        }
        // No wake is under way, so all that were counted are those of the tags that were taken.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        tags_taken_ = wakes_finished_.load(std::memory_order_relaxed);
        return;
    }
    // acquire: after a poke(), the loop sees at once what it was poked for.
    if (!head_.compare_exchange_strong(head, empty, std::memory_order_acquire,
                                       std::memory_order_acquire)) {
        ++tags_taken_;
    }
}

template <Memory M>
void PostQueue<M>::close() noexcept {
    awake();
    closing_ = true;
    append_posted(head_.exchange(closed, std::memory_order_acquire));
    // acquire: a wake that was counted has returned. The wait is as long as one call of wake.
    while (!abandoned_ && wakes_finished_.load(std::memory_order_acquire) != tags_taken_) {
        spin_pause();
    }
    batch_.append(deferred_);
    while (TaskNode* node = batch_.pop()) {
        node->discard();
        pool_.give_back(node);
    }
    cache_.flush(pool_);
    release();
}

}  // namespace detail

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/running.hpp

// Which closures are running: the one mechanism that lets a handler destroy itself. Whoever calls a
// closure opens a frame on its stack and notes the closure there. Whoever wants to destroy a
// closure asks retire() first: if it is running, in this or in an outer turn, its frame is marked
// and destroys it when it returns; otherwise it is destroyed on the spot.
//
// Frames are as deep as turns are nested, so the search is a comparison or two.

namespace rondo::inline RONDO_ABI::detail {

class Running {
public:
    /// One level of calling. `closure` is what runs now; null between calls.
    struct Frame {
        explicit Frame(Running& running) noexcept : running_(running), outer(running.top_) {
            running.top_ = this;
        }
        Frame(const Frame&) = delete;
        Frame& operator=(const Frame&) = delete;
        ~Frame() { running_.top_ = outer; }

    private:
        Running& running_;

    public:
        Frame* const outer;
        const void* closure = nullptr;
        bool retired = false;
    };

    /// True if some frame is calling something: a handler is on the stack.
    bool any() const noexcept { return top_ != nullptr; }

    /// True if `closure` is running in this or an outer turn.
    bool contains(const void* closure) const noexcept { return find(closure) != nullptr; }

    /// True if `closure` is running: its frame destroys it. False: the caller does.
    bool retire(const void* closure) noexcept {
        Frame* const frame = find(closure);
        if (frame == nullptr) return false;
        frame->retired = true;
        return true;
    }

private:
    Frame* find(const void* closure) const noexcept {
        for (Frame* frame = top_; frame != nullptr; frame = frame->outer) {
            if (frame->closure == closure) return frame;
        }
        return nullptr;
    }

    Frame* top_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/core/send_queue.hpp

// SendQueue: bytes on their way out, in the order in which they were sent. What is copied gathers
// in chunks of 4 KiB, so that many small replies leave in few pieces; a string or a vector that is
// moved in is queued as it is. gather() names the pieces for one writev, consume() drops what has
// been written.
//
// Chunks come from a pool that the queues of one loop share: a queue that is empty holds no memory,
// and after warm-up small replies need no allocation.

#include <stddef.h>
#include <string.h>

#include <concepts>
#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// What can be queued without a copy when it is moved in: it owns contiguous bytes, or values that
/// are as good as bytes. A view doesn't own what it shows.
template <class Owner>
concept OwnsBytes =
    !std::is_reference_v<Owner> && !std::is_const_v<Owner> &&
    !std::is_trivially_copyable_v<Owner> && std::is_nothrow_move_constructible_v<Owner> &&
    requires(const Owner& owner) {
        { owner.size() } -> std::convertible_to<size_t>;
        requires std::is_pointer_v<decltype(owner.data())>;
        requires std::is_trivially_copyable_v<std::remove_pointer_t<decltype(owner.data())>>;
    };

namespace detail {

/// One piece of a queue. `end` destroys it; a chunk, whose bytes follow it, has none.
struct SendPiece {
    SendPiece* next;
    const std::byte* begin;
    size_t size;
    size_t room;  // behind the bytes of a chunk
    void (*end)(SendPiece*) noexcept;
    size_t allocated;
};

}  // namespace detail

/// Free chunks for the queues of one thread.
/// Lifetime: must outlive the queues that use it.
/// Threads: externally synchronised.
template <Memory M = Malloc>
class SendPool {
public:
    static constexpr size_t chunk_bytes = 4096;
    static constexpr size_t kept_max = 64;  // chunks that are kept for the next time

    SendPool() noexcept = default;
    SendPool(const SendPool&) = delete;
    SendPool& operator=(const SendPool&) = delete;
    ~SendPool() {
        while (free_ != nullptr) {
            Piece* const piece = free_;
            free_ = piece->next;
            M::release(piece, chunk_bytes, alignof(Piece));
        }
    }

    /// An empty chunk with room for `bytes` at least; nullptr if memory is out.
    detail::SendPiece* take(size_t bytes) noexcept {
        if (bytes <= chunk_room && free_ != nullptr) {
            Piece* const piece = free_;
            free_ = piece->next;
            --kept_;
            return reset(piece, chunk_bytes);
        }
        if (bytes > SIZE_MAX / 2) return nullptr;
        const size_t size = bytes <= chunk_room ? chunk_bytes : bytes + sizeof(Piece);
        void* const memory = M::allocate(size, alignof(Piece));
        return memory == nullptr ? nullptr : reset(::new (memory) Piece, size);
    }
    void give_back(detail::SendPiece* piece) noexcept {
        if (piece->allocated != chunk_bytes || kept_ == kept_max) {
            M::release(piece, piece->allocated, alignof(Piece));
            return;
        }
        piece->next = free_;
        free_ = piece;
        ++kept_;
    }

private:
    using Piece = detail::SendPiece;
    static constexpr size_t chunk_room = chunk_bytes - sizeof(Piece);

    static Piece* reset(Piece* piece, size_t allocated) noexcept {
        *piece = {nullptr, reinterpret_cast<std::byte*>(piece + 1),
                  0,       allocated - sizeof(Piece),
                  nullptr, allocated};
        return piece;
    }

    Piece* free_ = nullptr;
    size_t kept_ = 0;
};

/// Lifetime: clear() it before it is destroyed (asserted); the pool is an argument, not a member.
/// Threads: externally synchronised.
/// Cost: append copies; append_owned moves; gather is O(pieces).
template <Memory M = Malloc>
class SendQueue {
public:
    using Pool = SendPool<M>;

    SendQueue() noexcept = default;
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;
    ~SendQueue() { RONDO_ASSERT(first_ == nullptr, "clear a SendQueue before its end"); }

    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// Copies `bytes` to the end. False: memory is out, and nothing changed.
    bool append(Pool& pool, std::span<const std::byte> bytes) noexcept {
        const size_t room = first_ != nullptr ? last_->room : 0;
        const size_t fitting = bytes.size() < room ? bytes.size() : room;
        Piece* more = nullptr;
        if (fitting < bytes.size()) {
            more = pool.take(bytes.size() - fitting);
            if (more == nullptr) return false;
        }
        if (fitting != 0) fill(last_, bytes.first(fitting));
        if (more != nullptr) {
            fill(more, bytes.subspan(fitting));
            link(more);
        }
        return true;
    }

    /// Takes `owner` over and sends the bytes that it owns. False: memory is out, and `owner` is as
    /// before.
    template <OwnsBytes Owner>
    bool append_owned(Owner&& owner) noexcept {
        if (owner.size() == 0) return true;
        void* const memory = M::allocate(sizeof(Owned<Owner>), alignof(Owned<Owner>));
        if (memory == nullptr) return false;
        auto* const piece = ::new (memory) Owned<Owner>{{}, static_cast<Owner&&>(owner)};
        const auto& kept = std::as_const(piece->owner);
        const auto bytes = std::as_bytes(std::span(kept.data(), static_cast<size_t>(kept.size())));
        static_cast<Piece&>(*piece) = {nullptr, bytes.data(),           bytes.size(),
                                       0,       &Owned<Owner>::destroy, sizeof(Owned<Owner>)};
        size_ += bytes.size();
        link(piece);
        return true;
    }

    /// Names the first pieces, as many as fit into `parts`. Returns how many.
    size_t gather(std::span<ConstBuffer> parts) const noexcept {
        size_t count = 0;
        for (const Piece* piece = first_; piece != nullptr && count < parts.size();
             piece = piece->next) {
            parts[count++] = {piece->begin, piece->size};
        }
        return count;
    }

    /// Drops `count` bytes from the front. Owners end last: their destructors may use the queue.
    [[gnu::noinline]] void consume(Pool& pool, size_t count) noexcept {
        RONDO_ASSERT(count <= size_, "more bytes were consumed than there are");
        size_ -= count;
        Piece* piece = first_;
        while (first_ != nullptr && count >= first_->size) {
            count -= first_->size;
            first_ = first_->next;
        }
        const Piece* const rest = first_;
        if (first_ != nullptr) {
            first_->begin += count;
            first_->size -= count;
        }
        while (piece != rest) {
            Piece* const next = piece->next;
            piece->end != nullptr ? piece->end(piece) : pool.give_back(piece);
            piece = next;
        }
    }

    void clear(Pool& pool) noexcept { consume(pool, size_); }

private:
    using Piece = detail::SendPiece;

    template <class Owner>
    struct Owned : Piece {
        Owner owner;

        static void destroy(Piece* piece) noexcept {
            auto* const self = static_cast<Owned*>(piece);
            self->~Owned();
            M::release(self, sizeof(Owned), alignof(Owned));
        }
    };

    void fill(Piece* piece, std::span<const std::byte> bytes) noexcept {
        memcpy(const_cast<std::byte*>(piece->begin) + piece->size, bytes.data(), bytes.size());
        piece->size += bytes.size();
        piece->room -= bytes.size();
        size_ += bytes.size();
    }

    void link(Piece* piece) noexcept {
        (first_ != nullptr ? last_->next : first_) = piece;
        last_ = piece;
    }

    Piece* first_ = nullptr;
    Piece* last_ = nullptr;  // meaningful only while first_ is set
    size_t size_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/slab.hpp

// Slab<T>: objects behind keys. A key is an index and a generation, so one that outlives its object
// finds nothing, even when the place was used again; the objects themselves never move.
//
// It refuses to order or to search: a key is the only way in, for_each the only way through.

#include <stddef.h>
#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// Names one object of a Slab. The default key names none.
struct SlabKey {
    uint32_t index = 0;
    uint32_t generation = 0;

    explicit operator bool() const noexcept { return generation != 0; }
    friend bool operator==(SlabKey, SlabKey) noexcept = default;
};

/// Lifetime: owns its objects and destroys what is left.
/// Threads: externally synchronised.
/// Cost: insert, find and erase are O(1).
template <class T, Memory M = Malloc>
class Slab {
public:
    Slab() noexcept = default;
    ~Slab() { clear(); }

    /// A key that tests false if memory is out. The constructor of T may use the slab; if it
    /// throws, the slab is as before.
    template <class... Args>
    SlabKey insert(Args&&... args) {
        if (free_ == none) {
            if (!entries_.push_back(Entry{})) return {};
            free_ = static_cast<uint32_t>(entries_.size() - 1);
        }
        Taken taken{*this, free_};
        free_ = entries_[free_].next_free;
        T* const object = pool_.create(std::forward<Args>(args)...);
        if (object == nullptr) return {};
        const uint32_t index = std::exchange(taken.index, none);
        Entry& entry = entries_[index];
        entry.object = object;
        ++entry.generation;
        ++size_;
        return {index, entry.generation};
    }

    /// The object, or nullptr if it is gone.
    T* find(SlabKey key) noexcept {
        if (key.index >= entries_.size()) return nullptr;
        Entry& entry = entries_[key.index];
        return entry.generation == key.generation && live(entry) ? entry.object : nullptr;
    }

    /// Takes the object out and destroys it. Its destructor may use the slab, and finds its own key
    /// stale. False if it is gone already.
    bool erase(SlabKey key) noexcept {
        T* const object = find(key);
        if (object == nullptr) return false;
        Entry& entry = entries_[key.index];
        ++entry.generation;
        entry.object = nullptr;
        give_back(key.index);
        --size_;
        pool_.destroy(object);
        return true;
    }

    /// Calls f(key, object) for each; f may erase and insert, and may or may not see what it
    /// inserts.
    template <class F>
    void for_each(F&& f) {
        for (uint32_t i = 0; i < entries_.size(); ++i) {
            if (live(entries_[i])) f(SlabKey{i, entries_[i].generation}, *entries_[i].object);
        }
    }

    /// Destroys every object, also what their destructors insert.
    void clear() noexcept {
        while (size_ != 0) {
            for (uint32_t i = 0; i < entries_.size(); ++i) erase({i, entries_[i].generation});
        }
    }

    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

private:
    static constexpr uint32_t none = UINT32_MAX;

    struct Entry {
        T* object = nullptr;
        uint32_t generation = 0;  // odd: in use
        uint32_t next_free = none;
    };
    // An entry between the free list and its object.
    struct Taken {
        Slab& slab;
        uint32_t index;
        ~Taken() {
            if (index != none) slab.give_back(index);
        }
    };

    void give_back(uint32_t index) noexcept {
        entries_[index].next_free = free_;
        free_ = index;
    }
    static bool live(const Entry& entry) noexcept { return entry.generation % 2 == 1; }

    Array<Entry, M> entries_;
    Pool<T, M, 16> pool_;
    uint32_t free_ = none;
    size_t size_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/timer_order.hpp

// The nodes that a timer heap is made of, and putting a batch of them in order. The timers that are
// due in one turn are sorted, not popped one after the other: a pop costs a walk through the heap
// and a mispredicted branch or two, a pass of a radix sort about 2 ns.
//
// Few nodes are sorted by insertion, more by bytes from the lowest to the highest that differs, so
// no distribution of deadlines makes it slow and nothing is allocated: the caller lends as many
// nodes of scratch space as it sorts. <algorithm> would double what this header costs to compile.

#include <stddef.h>
#include <stdint.h>

namespace rondo::inline RONDO_ABI::detail {

/// A timer in a heap, or in a list of due ones.
struct TimerNode {
    int64_t key;
    uint32_t slot;
    uint32_t at;  // while a due set is collected: the position; then the order of scheduling
};

static_assert(sizeof(TimerNode) == 16, "four timer nodes per cache line");

inline void insertion_sort(TimerNode* nodes, size_t count) noexcept {
    for (size_t i = 1; i < count; ++i) {
        const TimerNode node = nodes[i];
        size_t hole = i;
        for (; hole > 0 && node.key < nodes[hole - 1].key; --hole) nodes[hole] = nodes[hole - 1];
        nodes[hole] = node;
    }
}

// One stable pass: from `from` to `to`, by eight bits of the distance from `low`.
inline void radix_pass(const TimerNode* from, TimerNode* to, size_t count, uint64_t low,
                       int shift) noexcept {
    const auto digit = [low, shift](const TimerNode& node) noexcept {
        return ((static_cast<uint64_t>(node.key) - low) >> shift) & 255;
    };
    uint32_t next[256] = {};
    for (size_t i = 0; i < count; ++i) ++next[digit(from[i])];
    uint32_t start = 0;
    for (uint32_t& entry : next) {
        const uint32_t here = entry;
        entry = start;
        start += here;
    }
    for (size_t i = 0; i < count; ++i) to[next[digit(from[i])]++] = from[i];
}

/// Sorts `count` nodes by key. `scratch` has room for as many.
[[gnu::noinline]] inline void sort_nodes(TimerNode* nodes, TimerNode* scratch,
                                         size_t count) noexcept {
    if (count <= 40) return insertion_sort(nodes, count);  // measured: equal at about 40
    int64_t low = nodes[0].key;
    int64_t high = low;
    for (size_t i = 1; i < count; ++i) {
        low = nodes[i].key < low ? nodes[i].key : low;
        high = nodes[i].key > high ? nodes[i].key : high;
    }
    const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    TimerNode* from = nodes;
    TimerNode* to = scratch;
    for (int shift = 0; shift < 64 && (range >> shift) != 0; shift += 8) {
        radix_pass(from, to, count, static_cast<uint64_t>(low), shift);
        TimerNode* const sorted = to;
        to = from;
        from = sorted;
    }
    if (from == nodes) return;
    for (size_t i = 0; i < count; ++i) nodes[i] = from[i];
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/core/timer_heap.hpp

// Deadlines in order, and a record of the owner's for each: a heap of 16-byte nodes {key, slot}.
//
// A node's key is never later than its timer's deadline, and that is all that the heap needs:
// moving a deadline later and cancelling are one store each, into a dense table of slots, and the
// node is put right when it surfaces, is swept with others, or is taken over by the slot's next
// timer. The table also holds the generation that makes stale keys harmless; where a node is, the
// heap alone wants to know, so that lies apart and a slot has 16 bytes. Records never move, and
// free slots are bits in groups of 64: what is acquired together lies together, in whatever order
// it was released (a list of free slots made adding 10 000 timers three times slower).
//
// Eight children per node, siblings in two neighbouring cache lines: replacing the root took 0.8 to
// 0.9 of the time of four children at 10 000 timers and more, 1.1 below a thousand.
//
// It knows no clock, calls nothing, and never constructs or destroys a record.

#include <stddef.h>
#include <stdint.h>

#include <concepts>

namespace rondo::inline RONDO_ABI {

/// Names one timer: a slot and which of its users is meant. A default-constructed key names none.
struct TimerKey {
    uint32_t slot = 0;
    uint32_t generation = 0;  // odd for every timer there ever was

    constexpr explicit operator bool() const noexcept { return generation != 0; }
    friend constexpr bool operator==(TimerKey, TimerKey) noexcept = default;
};

/// What an acquired slot is doing.
enum class TimerState : uint8_t { idle, scheduled, due };

/// Timers, each with a deadline and a `Record`.
///
/// Threads: externally synchronised.
/// Errors: acquire() alone needs memory; everything else can't fail.
/// Cost: acquire, release, unschedule and a move to a later deadline are O(1), other moves
/// O(log n). earliest() and take_due() pay for what later moves and cancellations left behind: at
/// most as much as doing them at once would have cost. Equal deadlines are told apart by numbers of
/// type `Order`; when these run out, once in four billion calls, all timers are numbered anew. They
/// must be more than the timers that are ever scheduled at once, and two.
template <class Record, Memory M = Malloc, std::unsigned_integral Order = uint32_t>
class TimerHeap {
public:
    /// No slot.
    static constexpr uint32_t npos = UINT32_MAX;

    TimerHeap() noexcept = default;
    TimerHeap(const TimerHeap&) = delete;
    TimerHeap& operator=(const TimerHeap&) = delete;

    /// Lifetime: records that still exist are not destroyed; visit them with for_each() before.
    ~TimerHeap() {
        for (uint32_t i = 0; i < chunk_count_; ++i) {
            M::release(groups_[first_group_of(i)].records, chunk_bytes(i), chunk_alignment);
        }
        if (nodes_ != nullptr) M::release(nodes_, table_bytes(capacity_), table_alignment);
    }

    /// A slot, as it was acquired: its key, and where its record is.
    struct Acquired {
        Record* record = nullptr;
        TimerKey key;
    };

    /// An idle slot, its record raw storage; a null pointer, with nothing changed, when memory is
    /// out.
    Acquired acquire() noexcept {
        if (open_count_ == 0 && !grow()) return {};
        const uint32_t index = open_[open_count_ - 1];
        Group& group = groups_[index];
        const auto bit = static_cast<uint32_t>(__builtin_ctzll(group.free));
        group.free &= group.free - 1;
        if (group.free == 0) --open_count_;  // a branch: the next call needn't wait for the bits
        const uint32_t slot = index * 64 + bit;
        return {group.records + bit, {slot, ++slots_[slot].generation}};
    }

    /// Gives an idle slot back; its keys are stale from now on. The caller has destroyed the
    /// record.
    void release(uint32_t slot) noexcept {
        RONDO_ASSERT(slots_[slot].order == idle_order,
                     "unschedule a timer before releasing its slot");
        if (++slots_[slot].generation == 0) slots_[slot].generation = 2;
        Group& group = groups_[slot / 64];
        const uint64_t bit = uint64_t{1} << slot % 64;
        open_[open_count_] = slot / 64;
        open_count_ += group.free == 0 ? 1 : 0;
        group.free |= bit;
        group.marks &= ~bit;
    }

    /// Makes the keys of an acquired slot stale; the slot itself stays acquired.
    void revoke(uint32_t slot) noexcept { slots_[slot].generation += 2; }

    /// Lifetime: the address stays the same until the slot is released.
    Record& record(uint32_t slot) noexcept { return groups_[slot / 64].records[slot % 64]; }

    TimerKey key(uint32_t slot) const noexcept { return {slot, slots_[slot].generation}; }

    /// A bit of the owner's, off when a slot is acquired; reading it doesn't fetch the record.
    bool marked(uint32_t slot) const noexcept {
        return (groups_[slot / 64].marks >> slot % 64 & 1) != 0;
    }
    void mark(uint32_t slot, bool on) noexcept {
        uint64_t& marks = groups_[slot / 64].marks;
        const uint64_t bit = uint64_t{1} << slot % 64;
        marks = on ? marks | bit : marks & ~bit;
    }

    /// True until the slot that the key was made for is released.
    bool live(TimerKey key) const noexcept {
        return key.slot < capacity_ && slots_[key.slot].generation == key.generation;
    }

    TimerState state(uint32_t slot) const noexcept {
        const Order order = slots_[slot].order;
        if (order > due_order) return TimerState::scheduled;
        return order == due_order ? TimerState::due : TimerState::idle;
    }

    /// The deadline of a scheduled or due timer.
    Instant deadline(uint32_t slot) const noexcept { return Instant(slots_[slot].deadline); }

    /// Sets the deadline; among equal deadlines the timer is now the last. A due one is due no
    /// more.
    [[gnu::noinline]] void schedule(uint32_t slot, Instant deadline) noexcept {
        const auto next = static_cast<Order>(last_order_ + 1);
        if (next == 0) return renumber(slot, deadline);
        Slot& entry = slots_[slot];
        const int64_t before = entry.deadline;
        const Order order = entry.order;
        uint32_t at = at_[slot];
        entry.deadline = deadline.ns();
        entry.order = last_order_ = next;
        if (at == 0) {
            at = end_++;
            ++scheduled_;
            if (order != idle_order) --due_left_;
        } else {
            if (order == idle_order) ++scheduled_;
            if (deadline.ns() >= before) return;  // not before the key either
            if (deadline.ns() >= nodes_[at].key) return;
        }
        sift_up(at, deadline.ns(), slot);
    }

    /// The same, and less code to inline where most deadlines move later.
    void reschedule(uint32_t slot, Instant deadline) noexcept {
        Slot& entry = slots_[slot];
        const auto next = static_cast<Order>(last_order_ + 1);
        if (entry.order <= due_order || deadline.ns() < entry.deadline || next == 0) [[unlikely]] {
            return schedule(slot, deadline);
        }
        entry.deadline = deadline.ns();
        entry.order = last_order_ = next;
    }

    /// Makes a scheduled or due timer idle; false if it was idle already.
    bool unschedule(uint32_t slot) noexcept {
        Slot& entry = slots_[slot];
        if (entry.order == idle_order) return false;
        --(entry.order != due_order ? scheduled_ : due_left_);
        entry.order = idle_order;
        return true;
    }

    /// No timer becomes due before this instant; Instant::max() if there is none.
    /// Cost: O(1).
    Instant not_before() const noexcept {
        return scheduled_ == 0 ? Instant::max() : Instant(nodes_[root].key);
    }

    /// The earliest deadline that is scheduled; Instant::max() if there is none.
    /// Cost: O(1) plus what is to be put right; ask before blocking, not_before() everywhere else.
    Instant earliest() noexcept {
        if (end_ - root > 2 * scheduled_ + 64) sweep();
        if (scheduled_ == 0) return Instant::max();
        // Putting right one node after the other is dear when they are many.
        for (uint32_t patience = 8 + (end_ - root) / 16;; --patience) {
            const Slot& top = slots_[nodes_[root].slot];
            if (top.order != idle_order && top.deadline == nodes_[root].key)
                return Instant(top.deadline);
            if (patience == 0)
                sweep();
            else
                settle(root);
        }
    }

    /// Makes every timer due whose deadline is not after `now`, to be fetched by next_due() in the
    /// order of deadlines, equal ones in the order of scheduling. Says how many. The ones that were
    /// taken before must have been fetched.
    size_t take_due(Instant now) noexcept {
        RONDO_ASSERT(due_left_ == 0, "fetch all due timers before taking the next");
        const uint32_t found = collect(now.ns());
        if (found == 0) return 0;
        uint32_t first = found;               // the due ones gather at the end
        for (uint32_t i = found; i-- > 0;) {  // bottom up: what is below a hole is in order
            const Node node = due_[i];
            Slot& entry = slots_[node.slot];
            if (entry.order == idle_order || entry.deadline > now.ns()) {
                settle(node.at);
                continue;
            }
            at_[node.slot] = 0;
            remove(node.at);
            due_[--first] = Node{entry.deadline, node.slot, entry.order};
            entry.order = due_order;
        }
        due_next_ = first;
        due_end_ = found;
        due_left_ = found - first;
        scheduled_ -= due_left_;
        sort_due();
        return due_left_;
    }

    /// The next timer that is still due, made idle; npos if there is none.
    uint32_t next_due() noexcept {
        while (due_left_ != 0) {
            const uint32_t slot = due_[due_next_++].slot;
            if (due_next_ + ahead < due_end_) fetch(due_[due_next_ + ahead].slot);
            if (state(slot) != TimerState::due) continue;
            slots_[slot].order = idle_order;
            --due_left_;
            return slot;
        }
        return npos;
    }

    /// True if next_due() would return a timer.
    bool due_left() const noexcept { return due_left_ != 0; }

    /// How many timers are scheduled or due.
    size_t size() const noexcept { return size_t{scheduled_} + due_left_; }

    /// Calls `visit(slot)` for every acquired slot; `visit` may release it.
    template <class Visitor>
    void for_each(Visitor&& visit) {
        for (uint32_t slot = 0; slot < capacity_; ++slot) {
            if (slots_[slot].generation % 2 != 0) visit(slot);
        }
    }

private:
    using Node = detail::TimerNode;

    static constexpr Order idle_order = 0;
    static constexpr Order due_order = 1;
    static constexpr Order max_order = static_cast<Order>(-1);

    struct Slot {
        int64_t deadline = 0;      // not before the key of the slot's node, also while idle
        uint32_t generation = 2;   // odd while acquired; 0 is that of the key which names none
        Order order = idle_order;  // of scheduling, if it is neither idle nor due
    };
    struct Group {
        uint64_t free;   // a bit for each of 64 slots
        uint64_t marks;  // the owner's
        Record* records;
    };
    static_assert(sizeof(Slot) == 16, "four slots per cache line");

    static constexpr uint32_t arity = 8;         // least_of_group() is written for it
    static constexpr uint32_t root = arity - 1;  // so that groups of children start at multiples
    static constexpr uint32_t ahead = 6;  // how many due timers before its turn a record is fetched
    // 2^28 timers, so that eight times a position fits 32 bits; 2^22 where memory has 32 bits.
    static constexpr uint32_t max_chunks = sizeof(size_t) > 4 ? 42 : 30;
    static constexpr size_t chunk_alignment = alignof(Record) > 64 ? alignof(Record) : 64;
    static constexpr size_t table_alignment = 128;

    static constexpr uint32_t parent_of(uint32_t at) noexcept { return at / arity + root - 1; }
    static constexpr uint32_t first_child_of(uint32_t at) noexcept {
        return (at - root + 1) * arity;
    }

    void put(uint32_t at, int64_t key, uint32_t slot) noexcept {
        nodes_[at].key = key;
        nodes_[at].slot = slot;
        at_[slot] = at;
    }

    void sift_up(uint32_t at, int64_t key, uint32_t slot) noexcept {
        while (at != root) {
            const Node& parent = nodes_[parent_of(at)];
            if (parent.key <= key) break;
            put(at, parent.key, parent.slot);
            at = parent_of(at);
        }
        put(at, key, slot);
    }

    void sift_down(uint32_t at, int64_t key, uint32_t slot) noexcept {
        for (;;) {
            const uint32_t first = first_child_of(at);
            if (first >= end_) break;
            const uint32_t child =
                first + arity <= end_ ? least_of_group(first) : least_from(first);
            if (key <= nodes_[child].key) break;
            put(at, nodes_[child].key, nodes_[child].slot);
            at = child;
        }
        put(at, key, slot);
    }

    uint32_t least_from(uint32_t first) const noexcept {
        uint32_t least = first;
        for (uint32_t i = first + 1; i < end_; ++i) {
            if (nodes_[i].key < nodes_[least].key) least = i;
        }
        return least;
    }

    // A knock-out of three rounds, in arithmetic: which child is the least can't be predicted.
    uint32_t least_of_group(uint32_t first) const noexcept {
        static_assert(arity == 8, "another arity needs another knock-out");
        struct Entry {
            int64_t key;
            uint32_t index;
        };
        const auto less = [](Entry a, Entry b) noexcept {
            const uint32_t second = b.key < a.key ? 1 : 0;
            return Entry{second != 0 ? b.key : a.key,
                         a.index ^ ((a.index ^ b.index) & (0 - second))};
        };
        const Node* const group = nodes_ + first;
        const auto entry = [group](uint32_t i) noexcept { return Entry{group[i].key, i}; };
        const Entry left = less(less(entry(0), entry(1)), less(entry(2), entry(3)));
        const Entry right = less(less(entry(4), entry(5)), less(entry(6), entry(7)));
        return first + less(left, right).index;
    }

    // Fills the hole at `at` with the last node. The holes are made from the last to the first, or
    // only at the root, so the filler never has to move up.
    void remove(uint32_t at) noexcept {
        const Node& last = nodes_[--end_];
        if (at != end_) sift_down(at, last.key, last.slot);
    }

    // Gives the node at `at` its timer's deadline, or removes it if its timer is idle.
    void settle(uint32_t at) noexcept {
        const uint32_t slot = nodes_[at].slot;
        const Slot& entry = slots_[slot];
        if (entry.order != idle_order) return sift_down(at, entry.deadline, slot);
        at_[slot] = 0;
        remove(at);
    }

    // Settling all nodes bottom up is also how to build a heap, at a few nanoseconds a node.
    void sweep() noexcept {
        for (uint32_t at = end_; at-- > root;) settle(at);
    }

    // Lists the nodes with a key up to `now` in due_, by rising positions. They form a connected
    // part at the top of the heap.
    uint32_t collect(int64_t now) noexcept {
        if (end_ == root || nodes_[root].key > now) return 0;
        due_[0] = Node{nodes_[root].key, nodes_[root].slot, root};
        uint32_t found = 1;
        for (uint32_t i = 0; i < found; ++i) {
            const uint32_t first = first_child_of(due_[i].at);
            const uint32_t last = first + arity < end_ ? first + arity : end_;
            for (uint32_t at = first; at < last; ++at) {
                due_[found] = Node{nodes_[at].key, nodes_[at].slot, at};
                found += nodes_[at].key <= now ? 1 : 0;
            }
        }
        return found;
    }

    // The nodes that left the heap make room behind its end: the scratch space.
    void sort_due() noexcept {
        detail::sort_nodes(due_ + due_next_, nodes_ + end_, due_left_);
        for (uint32_t i = due_next_; i < due_end_;) {
            uint32_t next = i + 1;
            while (next < due_end_ && due_[next].key == due_[i].key) ++next;
            if (next - i > 1) {
                for (uint32_t tie = i; tie < next; ++tie) due_[tie].key = due_[tie].at;
                detail::sort_nodes(due_ + i, nodes_ + end_, next - i);
            }
            i = next;
        }
    }

    // Gives the scheduled timers the lowest numbers, in the order that they have, and schedules one
    // more. The list of the due ones moves to its end: the timers that have nodes are not on it, so
    // there is room for them.
    [[gnu::cold, gnu::noinline]] void renumber(uint32_t slot, Instant deadline) noexcept {
        uint32_t first = capacity_;
        for (uint32_t i = due_end_; i-- > due_next_;) {
            if (state(due_[i].slot) == TimerState::due) due_[--first] = due_[i];
        }
        due_next_ = first;
        due_end_ = capacity_;
        const uint32_t count = end_ - root;
        for (uint32_t at = root; at < end_; ++at) nodes_[at].key = slots_[nodes_[at].slot].order;
        detail::sort_nodes(nodes_ + root, due_, count);
        RONDO_ASSERT(scheduled_ < max_order - due_order, "more timers than there are numbers");
        last_order_ = due_order;
        for (uint32_t at = root; at < end_; ++at) {
            Order& order = slots_[nodes_[at].slot].order;
            if (order != idle_order) order = ++last_order_;
        }
        sweep();  // which makes a heap of them again
        schedule(slot, deadline);
    }

    void fetch(uint32_t slot) noexcept {
        __builtin_prefetch(slots_ + slot, 1);
        __builtin_prefetch(&record(slot), 1);
    }

    // Two chunks of one group, and two of each power of two after that: beyond the first steps the
    // slots grow by a half or a third at a time.
    static constexpr uint32_t first_group_of(uint32_t chunk) noexcept {
        return ((2 + chunk % 2) << chunk / 2) - 2;
    }
    static constexpr size_t chunk_bytes(uint32_t chunk) noexcept {
        return (size_t{64} << chunk / 2) * sizeof(Record);
    }
    // One entry more than there are groups: release() writes it before it knows whether to keep it.
    static constexpr size_t table_bytes(size_t capacity) noexcept {
        constexpr size_t each = 2 * sizeof(Node) + sizeof(Slot) + sizeof(uint32_t);
        return (root + 1) * sizeof(Node) + capacity * each + capacity / 64 * sizeof(Group) +
               (capacity / 64 + 1) * sizeof(uint32_t);
    }

    // One more chunk of records, and one block that holds all tables for as many slots.
    [[gnu::cold, gnu::noinline]] bool grow() noexcept {
        if (chunk_count_ == max_chunks) return false;
        void* const chunk = M::allocate(chunk_bytes(chunk_count_), chunk_alignment);
        if (chunk == nullptr) return false;
        const uint32_t capacity = 64 * first_group_of(chunk_count_ + 1);
        void* const table = M::allocate(table_bytes(capacity), table_alignment);
        if (table == nullptr) {
            M::release(chunk, chunk_bytes(chunk_count_), chunk_alignment);
            return false;
        }
        move_tables(table, capacity);
        Record* const records = static_cast<Record*>(chunk);
        for (uint32_t i = capacity / 64; i > capacity_ / 64; --i) {  // the first group on top
            groups_[i - 1] = Group{~uint64_t{0}, 0, records + (i - 1 - capacity_ / 64) * 64};
            open_[open_count_++] = i - 1;
        }
        for (uint32_t i = capacity_; i < capacity; ++i) slots_[i] = Slot{};
        for (uint32_t i = capacity_; i < capacity; ++i) at_[i] = 0;
        capacity_ = capacity;
        ++chunk_count_;
        return true;
    }

    void move_tables(void* table, uint32_t capacity) noexcept {
        Node* const nodes = static_cast<Node*>(table);
        Node* const due = nodes + root + 1 + capacity;
        Slot* const slots = static_cast<Slot*>(static_cast<void*>(due + capacity));
        uint32_t* const at = static_cast<uint32_t*>(static_cast<void*>(slots + capacity));
        Group* const groups = static_cast<Group*>(static_cast<void*>(at + capacity));
        for (uint32_t i = root; i < end_; ++i) nodes[i] = nodes_[i];
        for (uint32_t i = due_next_; i < due_end_; ++i) due[i] = due_[i];
        for (uint32_t i = 0; i < capacity_; ++i) slots[i] = slots_[i];
        for (uint32_t i = 0; i < capacity_; ++i) at[i] = at_[i];
        for (uint32_t i = 0; i < capacity_ / 64; ++i) groups[i] = groups_[i];
        if (nodes_ != nullptr) M::release(nodes_, table_bytes(capacity_), table_alignment);
        nodes_ = nodes;
        due_ = due;
        slots_ = slots;
        at_ = at;
        groups_ = groups;
        open_ = static_cast<uint32_t*>(static_cast<void*>(groups + capacity / 64));
    }

    Node* nodes_ = nullptr;  // from root to end_
    Slot* slots_ = nullptr;
    uint32_t* at_ = nullptr;  // the position of each slot's node; 0: it has none
    Group* groups_ = nullptr;
    uint32_t* open_ = nullptr;  // the groups that have a free slot
    Node* due_ = nullptr;       // from due_next_ to due_end_, some perhaps cancelled since
    Order last_order_ = due_order;
    uint32_t end_ = root;
    uint32_t scheduled_ = 0;  // how many nodes are timers; the others were cancelled
    uint32_t due_next_ = 0;
    uint32_t due_end_ = 0;
    uint32_t due_left_ = 0;  // how many of due_ are still due
    uint32_t open_count_ = 0;
    uint32_t capacity_ = 0;
    uint32_t chunk_count_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/core/work_executor.hpp

// WorkExecutor: something that runs blocking or heavy work so that the loop doesn't have to. A
// WorkerPool is one, made of threads; a simulated world has another, and a test may run the jobs by
// hand.
//
// It refuses to know threads: what it promises is where the two closures are called.

#include <concepts>

namespace rondo::inline RONDO_ABI {

/// Names one job of an executor. Tests false if it was refused; harmless once the job is gone.
struct WorkId {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(WorkId, WorkId) noexcept = default;
};

/// submit(job, done): calls job() somewhere, once, at any time; it must not touch the loop. Then
/// calls done(Outcome<R>) on the loop's thread, never before submit has returned. An id that tests
/// false: refused, and neither is called.
/// cancel(id): true if the job hadn't started; then neither is called. False: it is too late, and
/// done is still to be called, or was.
/// Both closures are destroyed on the loop's thread. The end of an executor calls nobody.
template <class E>
concept WorkExecutor = requires(E& executor, WorkId id, int (*job)(), void (*done)(Outcome<int>)) {
    { executor.submit(job, done) } -> std::same_as<WorkId>;
    { executor.cancel(id) } -> std::same_as<bool>;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/handlers.hpp

// What a user may hand to a loop: one named concept per kind of callback, and one type-erased
// handler each, which says in a sentence what it expects when a callable doesn't fit. A handler may
// always take fewer arguments, from the left: an I/O handler is called with (fd, readiness),
// (readiness) or ().

#include <stdint.h>

#include <concepts>
#include <type_traits>

namespace rondo::inline RONDO_ABI {

/// Names one timer. Tests false if it never was one; harmless once its timer is gone.
using TimerId = TimerKey;

/// What a periodic timer may be told.
struct Tick {
    TimerId id;
    uint64_t missed = 0;  ///< ticks that were skipped since the last call, because it came late
};

namespace detail {

// What a timer handler may return.
template <class R>
concept AgainAfter = std::is_void_v<R> || std::convertible_to<R, Duration>;

}  // namespace detail

template <class F>
concept IoCallable = CallableWithTail<F, int, Readiness>;
template <class F>
concept TaskCallable = CallableWithTail<F>;
template <class F>
concept TimerCallable = CallableWithTail<F, TimerId> && requires(std::decay_t<F>& f, TimerId id) {
    requires detail::AgainAfter<decltype(detail::CallTail<std::decay_t<F>, TimerId>::call(f, id))>;
};
template <class F>
concept TickCallable = CallableWithTail<F, Tick> && requires(std::decay_t<F>& f, Tick tick) {
    { detail::CallTail<std::decay_t<F>, Tick>::call(f, tick) } -> std::same_as<void>;
};
template <class F>
concept SignalCallable = CallableWithTail<F, int>;
template <class F>
concept ChildCallable = CallableWithTail<F, ChildStatus>;

namespace detail {

struct IoRule {
    template <class F>
    static constexpr bool check() {
        static_assert(IoCallable<F>,
                      "an I/O handler is called as f(), f(rondo::Readiness) or f(int fd, "
                      "rondo::Readiness)");
        return IoCallable<F>;
    }
};
struct TaskRule {
    template <class F>
    static constexpr bool check() {
        static_assert(TaskCallable<F>, "a task is called as f()");
        return TaskCallable<F>;
    }
};
struct TimerRule {
    template <class F>
    static constexpr bool check() {
        static_assert(
            TimerCallable<F>,
            "a timer handler is called as f() or f(rondo::TimerId); it returns nothing, or "
            "a rondo::Duration after which it is called again");
        return TimerCallable<F>;
    }
};
struct TickRule {
    template <class F>
    static constexpr bool check() {
        static_assert(TickCallable<F>,
                      "a periodic handler is called as f() or f(rondo::Tick), and returns nothing; "
                      "cancel(tick.id) ends it");
        return TickCallable<F>;
    }
};
struct SignalRule {
    template <class F>
    static constexpr bool check() {
        static_assert(SignalCallable<F>, "a signal handler is called as f() or f(int signal)");
        return SignalCallable<F>;
    }
};
struct ChildRule {
    template <class F>
    static constexpr bool check() {
        static_assert(ChildCallable<F>,
                      "a child handler is called as f() or f(rondo::ChildStatus)");
        return ChildCallable<F>;
    }
};

}  // namespace detail

/// A Handler whose compile error for a wrong callable is one sentence.
template <class Signature, class Rule, Memory M>
struct CheckedHandler : Handler<Signature, 48, M> {
    using Base = Handler<Signature, 48, M>;

    CheckedHandler() noexcept = default;
    template <class F>
        requires(!std::derived_from<std::remove_cvref_t<F>, Base>)
    CheckedHandler(F&& callable) : Base(checked<F>(callable)) {}

private:
    template <class F>
    static decltype(auto) checked(std::remove_reference_t<F>& callable) {
        RONDO_ASSERT(!detail::holds_nothing<std::decay_t<F>>(callable),
                     "an empty handler was given: give it a callable");
        if constexpr (Rule::template check<F>()) {
            return static_cast<F&&>(callable);
        } else {
            return Base();
        }
    }
};

/// Called when a descriptor is ready.
template <Memory M = Malloc>
using BasicIoHandler = CheckedHandler<void(int, Readiness), detail::IoRule, M>;
/// Called once when it is its turn, or by a hook in every turn.
template <Memory M = Malloc>
using BasicTask = CheckedHandler<void(), detail::TaskRule, M>;
/// Called when a signal has arrived.
template <Memory M = Malloc>
using BasicSignalHandler = CheckedHandler<void(int), detail::SignalRule, M>;
/// Called when a child process has ended.
template <Memory M = Malloc>
using BasicChildHandler = CheckedHandler<void(ChildStatus), detail::ChildRule, M>;

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/fd_table.hpp

// The table of watched descriptors: one small hot record per number, in pages that never move, with
// a pointer to its closure. Finding a slot is two loads; a slot is a third of a cache line.
//
// It only remembers. What a slot means, and who may change it, is in descriptors.hpp.

#include <stddef.h>
#include <stdint.h>

#include <new>

namespace rondo::inline RONDO_ABI::detail {

// What reaches a handler follows from the enabled directions, the low three bits of an interest,
// that aren't mute, the next two. Hang-up and error wake every direction, read-closed wakes
// reading.
struct AcceptTable {
    uint8_t by[32] = {};

    constexpr AcceptTable() noexcept {
        for (unsigned i = 0; i < 32; ++i) {
            const unsigned reading = (i & 0x08U) != 0 ? 0 : i & 0x03U;
            const unsigned writing = (i & 0x10U) != 0 ? 0 : i & 0x04U;
            const unsigned over = (reading != 0 ? 0x38U : 0) | (writing != 0 ? 0x18U : 0);
            by[i] = static_cast<uint8_t>(reading | writing | over);
        }
    }
};
inline constexpr AcceptTable accept_table{};

/// One descriptor number. `read` is null if it isn't registered.
template <Memory M>
struct FdSlot {
    enum Flag : uint8_t {
        queued = 0x01,      // in the list of changes
        forced = 0x02,      // tell the poller even if the interest is what it has already
        fresh = 0x04,       // registered or removed since the last wait: old events are expected
        mute_read = 0x08,   // got a new handler since the last wait
        mute_write = 0x10,  //
        failed = 0x20,      // a merged change failed; the handler is to hear of it
        background = 0x40,  // doesn't keep run() going
        internal = 0x80,    // belongs to the loop itself, not shown as the user's
    };

    static constexpr uint32_t first_generation = 1;

    BasicIoHandler<M>* read = nullptr;  // also called for writing unless `write` is there
    BasicIoHandler<M>* write = nullptr;
    uint32_t generation = first_generation;
    Interest interest = Interest::none;  // as wanted
    Interest applied = Interest::none;   // as the poller has it
    uint8_t plain = 0;                   // readiness that goes straight to `read`
    uint8_t flags = 0;
    [[no_unique_address]] Where where;

    bool registered() const noexcept { return read != nullptr; }
    /// True for plain level-triggered interest: what isn't delivered now is reported again.
    bool simple() const noexcept {
        return !rondo::any(interest, Interest::edge | Interest::oneshot);
    }
    bool has(unsigned flag) const noexcept { return (flags & flag) != 0; }
    void set(unsigned flag) noexcept { flags = static_cast<uint8_t>(flags | flag); }
    void clear(unsigned flag) noexcept { flags = static_cast<uint8_t>(flags & ~flag); }

    /// What reaches a handler now.
    uint8_t accepts() const noexcept {
        const unsigned mutes = flags & (mute_read | mute_write);
        return accept_table.by[static_cast<unsigned>(directions(interest)) | mutes];
    }
    void refresh() noexcept {
        const bool one_for_all = write == nullptr && !rondo::any(interest, Interest::oneshot);
        plain = one_for_all ? accepts() : uint8_t{0};
    }
};

#ifndef RONDO_TRACE_LOCATIONS
static_assert(sizeof(void*) != 8 || sizeof(FdSlot<Malloc>) == 24);
#endif

/// Threads: externally synchronised.
/// Cost: find is two loads; a page holds 256 slots and lives as long as the table.
template <Memory M>
class FdTable {
public:
    using Slot = FdSlot<M>;

    FdTable() noexcept = default;
    ~FdTable() {
        for (Page* page : pages_) {
            if (page != nullptr) M::release(page, sizeof(Page), alignof(Page));
        }
    }

    /// The slot of a number, or nullptr if its page isn't there.
    Slot* find(int fd) noexcept {
        const auto number = static_cast<unsigned>(fd);
        const size_t page = number / page_size;
        if (page >= pages_.size() || pages_[page] == nullptr) [[unlikely]]
            return nullptr;
        return &pages_[page]->slots[number % page_size];
    }

    /// The slot of a number >= 0; nullptr if memory is out.
    [[gnu::cold, gnu::noinline]] Slot* make(int fd) noexcept {
        const size_t page = static_cast<unsigned>(fd) / page_size;
        if (page >= pages_.size() && !pages_.resize(page + 1)) return nullptr;
        if (pages_[page] == nullptr) {
            void* const memory = M::allocate(sizeof(Page), alignof(Page));
            if (memory == nullptr) return nullptr;
            pages_[page] = ::new (memory) Page;
        }
        return find(fd);
    }

    /// Calls f(fd, slot) for every registered descriptor.
    template <class F>
    [[gnu::cold]] void for_each(F&& f) {
        for (size_t page = 0; page < pages_.size(); ++page) {
            if (pages_[page] == nullptr) continue;
            for (size_t i = 0; i < page_size; ++i) {
                Slot& slot = pages_[page]->slots[i];
                if (slot.registered()) f(static_cast<int>(page * page_size + i), slot);
            }
        }
    }

private:
    static constexpr size_t page_size = 256;
    struct Page {
        Slot slots[page_size];
    };

    Array<Page*, M> pages_;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/turn_state.hpp

// What the parts of a loop share: which handlers are running, what keeps run() going, and the one
// word that a turn looks at after each handler to learn whether anything unusual happened.

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace rondo::inline RONDO_ABI::detail {

// What the handlers of a descriptor are still to be told of an event; see dispatch.hpp. The
// deliveries of outer turns follow by `outer`.
struct Unheard {
    int fd;
    Interest directions;
    Unheard* outer;
};

struct TurnState {
    enum Attention : uint32_t {
        retired = 1,  // a running closure is to be destroyed when it returns
        stop = 2,     // stop() was called: finish the running handler, keep the rest
    };

    // Relaxed loads suffice in the turn: a stop from another thread is seen by a later handler, and
    // the sleeping protocol orders it against going to sleep.
    std::atomic<uint32_t> attention{0};
    Running running;
    Unheard* unheard = nullptr;
    size_t alive = 0;       // foreground watches, timers and children
    bool closing = false;   // the loop is being destroyed: calls do nothing
    bool sleeping = false;  // prepare() has been called: a foreign loop is waiting

    bool unusual() const noexcept { return attention.load(std::memory_order_relaxed) != 0; }
    bool stopped() const noexcept {
        return (attention.load(std::memory_order_relaxed) & stop) != 0;
    }
    void note(Attention what) noexcept { attention.fetch_or(what, std::memory_order_seq_cst); }
    void forget(Attention what) noexcept {
        attention.fetch_and(~uint32_t{what}, std::memory_order_seq_cst);
    }

    /// True if `closure` is running: its frame will destroy it.
    bool retire(const void* closure) noexcept {
        if (!running.retire(closure)) return false;
        note(retired);
        return true;
    }
};

/// Calls closures in a phase. Whatever way a call ends, a closure that was retired meanwhile is
/// destroyed by `Owner::destroy(closure)`.
template <class Owner>
class CallFrame : public Running::Frame {
public:
    CallFrame(TurnState& state, Owner& owner) noexcept
        : Running::Frame(state.running), state_(state), owner_(owner) {}
    ~CallFrame() {
        if (retired) finish();
    }

    /// After a call: false if the turn is to end here.
    bool settle() noexcept {
        if (retired) finish();
        closure = nullptr;
        return !state_.stopped();
    }

private:
    // `closure` is cleared first: a destructor that looks for running handlers must not find the
    // one that it belongs to.
    [[gnu::cold]] void finish() noexcept {
        const void* const finished = closure;
        closure = nullptr;
        retired = false;
        state_.forget(TurnState::retired);
        for (Running::Frame* f = outer; f != nullptr; f = f->outer) {
            if (f->retired) state_.note(TurnState::retired);
        }
        owner_.destroy(finished);
    }

    TurnState& state_;
    Owner& owner_;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/descriptors.hpp

// The descriptor part of a loop: who is registered with what interest, which changes are still to
// be told to the poller, and whose handler an event reaches.
//
// add and remove act at once, also in the kernel. Changes of interest are merged and applied before
// the next wait, so a handler that switches writing on and off costs no system call. A slot has a
// generation that its events carry: a late event of a number that was removed, or closed and
// reused, finds another generation and is dropped.

#include <span>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Descriptors {
public:
    using IoHandler = BasicIoHandler<M>;
    using Slot = FdSlot<M>;
    using Event = typename P::Event;
    static constexpr size_t batch_min = 64;
    static constexpr size_t batch_max = 4096;

    Descriptors(P& poller, TurnState& state) noexcept : poller_(poller), state_(state) {}

    /// An empty `on_write` leaves both directions to `on_read`.
    Result<void> add(int fd, Interest interest, IoHandler& on_read, IoHandler* on_write,
                     unsigned flags, Where where) {
        if (fd < 0) return Error::on_fd(EBADF, "add", fd);
        Slot* slot = table_.find(fd);
        if (slot != nullptr && slot->registered()) return Error::on_fd(EEXIST, "add", fd);
        if (!on_read || (on_write != nullptr && !*on_write) ||
            !changes_.reserve(changes_.size() + registered_ + 1)) {
            return Error::on_fd(ENOMEM, "add", fd);
        }
        IoHandler* const read = closures_.create(std::move(on_read));
        IoHandler* const write = read != nullptr && on_write != nullptr
                                     ? closures_.create(std::move(*on_write))
                                     : nullptr;
        Result<void> added = read == nullptr || (on_write != nullptr && write == nullptr)
                                 ? Result<void>(Error::on_fd(ENOMEM, "add", fd))
                                 : tell_add(fd, interest, slot);
        if (added && slot == nullptr) {
            // Only now: a number that isn't open must not make the table grow.
            slot = table_.make(fd);
            if (slot == nullptr) {
                static_cast<void>(poller_.remove(fd, interest));
                added = Error::on_fd(ENOMEM, "add", fd);
            }
        }
        if (!added) {
            if (read != nullptr) closures_.destroy(read);
            if (write != nullptr) closures_.destroy(write);
            return added;
        }
        slot->read = read;  // NOLINT(clang-analyzer-core.NullDereference): without a slot !added
        slot->write = write;
        slot->interest = slot->applied = interest;
        slot->where = where;
        slot->clear(Slot::background | Slot::internal | Slot::failed | Slot::forced |
                    Slot::mute_read | Slot::mute_write);
        slot->set(flags);
        slot->refresh();
        ++registered_;
        if (!slot->has(Slot::background)) ++state_.alive;
        return added;
    }

    void modify(int fd, Interest interest) noexcept {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "modify: this descriptor isn't registered; add it first");
        const Interest wanted = directions(interest) | modes(slot->interest);
        if (wanted != slot->interest) {
            slot->interest = wanted;
            slot->refresh();
            enqueue(fd, *slot);
        }
        if (directions(wanted) == Interest::none) forget_unheard(fd);
    }

    [[gnu::cold]] Result<void> replace(int fd, Interest direction, IoHandler& handler) {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "replace: this descriptor isn't registered; add it first");
        const bool reading = rondo::any(direction, Interest::read | Interest::priority);
        const bool writing = rondo::any(direction, Interest::write);
        RONDO_ASSERT(reading || writing, "replace: name the direction, Interest::read or ::write");
        IoHandler* const closure = handler ? closures_.create(std::move(handler)) : nullptr;
        if (closure == nullptr) return Error::on_fd(ENOMEM, "replace", fd);
        // A handler of both directions keeps the other one, if that is watched.
        const Interest other = reading ? Interest::write : Interest::read | Interest::priority;
        const bool both = reading && writing;
        const bool shared = slot->write == nullptr && rondo::any(slot->interest, other) && !both;
        IoHandler* first = nullptr;
        IoHandler* second = nullptr;
        if (shared) {
            slot->write = reading ? std::exchange(slot->read, closure) : closure;
        } else {
            IoHandler*& own = reading || slot->write == nullptr ? slot->read : slot->write;
            first = std::exchange(own, closure);
        }
        if (both) second = std::exchange(slot->write, nullptr);
        if (reading) slot->set(Slot::mute_read);
        if (writing) slot->set(Slot::mute_write);
        if (rondo::any(slot->interest, Interest::edge)) slot->set(Slot::forced);
        slot->refresh();
        enqueue(fd, *slot);
        release(first);
        release(second);
        return {};
    }

    void remove(int fd) noexcept { remove(fd, true); }
    /// The same for a descriptor that is to be closed at once: closing may be all that it takes.
    void remove_before_close(int fd) noexcept { remove(fd, !P::traits.closing_removes); }

    Interest interest(int fd) noexcept {
        const Slot* const slot = table_.find(fd);
        return slot != nullptr && slot->registered() ? slot->interest : Interest::none;
    }

    [[gnu::cold]] void set_background(int fd, bool background) noexcept {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "background: this descriptor isn't registered; add it first");
        if (slot->has(Slot::background) == background) return;
        background ? slot->set(Slot::background) : slot->clear(Slot::background);
        background ? --state_.alive : ++state_.alive;
    }

    Slot* find(int fd) noexcept { return table_.find(fd); }
    template <class F>
    void for_each(F&& f) {
        table_.for_each(f);
    }

    /// Tells the poller all merged changes: one call per descriptor whose interest really differs.
    /// A change that fails stays in the list, for dispatch to deliver.
    void flush() noexcept {
        if (!changes_.empty()) flush_changes();
    }

    void flush_changes() noexcept {
        size_t kept = 0;
        for (size_t i = 0; i < changes_.size(); ++i) {
            const int fd = changes_[i];
            Slot& slot = *table_.find(fd);
            if (slot.registered() && !apply(fd, slot)) {
                changes_[kept++] = fd;
                continue;
            }
            slot.clear(Slot::queued | Slot::fresh | Slot::mute_read | Slot::mute_write |
                       Slot::forced);
            if (slot.registered()) slot.refresh();
        }
        changes_.truncate(kept);
        failures_ = kept;
    }

    bool has_failures() const noexcept { return failures_ != 0; }
    size_t rebuilds() const noexcept { return rebuilds_; }
    size_t registered() const noexcept { return registered_; }

    /// Destroys what registrations capture; the descriptors themselves are the user's.
    [[gnu::cold]] void clear() noexcept {
        table_.for_each([this](int, Slot& slot) {
            IoHandler* const read = std::exchange(slot.read, nullptr);
            IoHandler* const write = std::exchange(slot.write, nullptr);
            if (read != nullptr) closures_.destroy(read);
            if (write != nullptr) closures_.destroy(write);
        });
    }

    /// CallFrame: the end of a closure that was retired while it ran.
    void destroy(const void* closure) noexcept {
        closures_.destroy(static_cast<IoHandler*>(const_cast<void*>(closure)));
    }

    /// Makes the room for the first batch. False if memory is out.
    bool make_room() noexcept { return events_.resize(batch_min); }
    /// Room for the next batch; it doubles after a batch that was full (P8).
    std::span<Event> room() noexcept { return {events_.data(), events_.size()}; }
    /// The wait has filled `count` events.
    void arrived(size_t count) noexcept {
        if (count == events_.size()) [[unlikely]]
            more_room();
        next_ = events_.data();
        end_ = next_ + count;
        ++batches_;
    }
    /// Events or failures that haven't been delivered yet.
    bool has_rest() const noexcept { return next_ != end_ || has_failures(); }

    /// Calls the handlers of the batch, from where an exception, a stop or a nested turn has left
    /// it. Returns how many were called.
    size_t dispatch() {
        TurnState& state = state_;
        Frame frame(state, *this);
        const bool nested = frame.outer != nullptr;
        size_t ran = 0;
        while (next_ != end_) {
            const Event& event = *next_++;
            const Token token = event.token();
            Slot* const slot = table_.find(token.fd());
            if (slot == nullptr || slot->generation != token.generation()) [[unlikely]] {
                stale(event);
                continue;
            }
            const auto bits = static_cast<uint8_t>(event.readiness());
            if ((bits & slot->plain) == bits && !nested) [[likely]] {
                ++ran;
                frame.closure = slot->read;
                slot->read->call(token.fd(), static_cast<Readiness>(bits));
                if (state.unusual() && !frame.settle()) [[unlikely]]
                    break;
            } else if (!deliver_with_care(frame, *slot, token.fd(), bits, ran)) {
                break;
            }
        }
        if (has_failures() && !state_.stopped()) deliver_failures(frame, ran);
        return ran;
    }

private:
    using Frame = CallFrame<Descriptors>;
    struct Delivery;

    Result<void> tell_add(int fd, Interest interest, const Slot* slot) noexcept {
        const uint32_t generation = slot != nullptr ? slot->generation : Slot::first_generation;
        Result<void> added = poller_.add(fd, interest, Token(fd, generation));
        if (!added && added.error() == EEXIST) {
            // The kernel still holds what was closed without remove while a duplicate lived, and
            // the duplicate has come back under this number.
            static_cast<void>(poller_.remove(fd, interest));
            added = poller_.add(fd, interest, Token(fd, generation));
        }
        return added;
    }

    // False if the change failed and is still to be delivered.
    bool apply(int fd, Slot& slot) noexcept {
        if (slot.has(Slot::failed)) return false;
        if (slot.interest == slot.applied && !slot.has(Slot::forced)) return true;
        const Token token(fd, slot.generation);
        Result<void> told = poller_.modify(fd, slot.applied, slot.interest, token);
        if (!told && told.error() == ENOENT) told = poller_.add(fd, slot.interest, token);
        slot.applied = slot.interest;
        if (told) return true;
        slot.set(Slot::failed);
        slot.clear(Slot::forced);  // told once
        return false;
    }

    // Never fails: add has reserved a place for every registration.
    void enqueue(int fd, Slot& slot) noexcept {
        if (slot.has(Slot::queued)) return;
        slot.set(Slot::queued);
        static_cast<void>(changes_.push_back(fd));
    }

    void remove(int fd, bool tell) noexcept {
        Slot* const slot = table_.find(fd);
        if (slot == nullptr || !slot->registered()) return;
        IoHandler* const read = std::exchange(slot->read, nullptr);
        IoHandler* const write = std::exchange(slot->write, nullptr);
        // 0 is never a generation, so that no token of a registration is all zeros or all ones.
        if (++slot->generation >= 0x7fffffff) slot->generation = 1;
        slot->set(Slot::fresh);
        --registered_;
        if (!slot->has(Slot::background)) --state_.alive;
        enqueue(fd, *slot);
        // An error means that the descriptor was closed first; stale() deals with what that leaves.
        if (tell) static_cast<void>(poller_.remove(fd, slot->applied));
        release(read);
        release(write);
    }

    void release(IoHandler* closure) noexcept {
        if (closure != nullptr && !state_.retire(closure)) closures_.destroy(closure);
    }

    bool call(Frame& frame, IoHandler* closure, int fd, Readiness readiness) {
        frame.closure = closure;
        closure->call(fd, readiness);
        if (!state_.unusual()) [[likely]]
            return true;
        return frame.settle();
    }

    // True if an outer turn is inside this handler: it must not be entered again.
    bool busy(const Frame& frame, const IoHandler* handler) const noexcept {
        return frame.outer != nullptr && handler != nullptr && state_.running.contains(handler);
    }

    bool deliver_with_care(Frame& frame, Slot& slot, int fd, uint8_t bits, size_t& ran);
    void ask_again(int fd, Slot& slot, Interest unheard) noexcept;
    [[gnu::cold]] void forget_unheard(int fd) noexcept;
    // Without memory batches stay as large as they are.
    [[gnu::cold]] void more_room() noexcept {
        if (events_.size() < batch_max) static_cast<void>(events_.resize(events_.size() * 2));
    }
    [[gnu::cold]] void deliver_failures(Frame& frame, size_t& ran);
    [[gnu::cold]] void stale(const Event& event) noexcept;
    [[gnu::cold]] void rebuild() noexcept;

    P& poller_;
    TurnState& state_;
    FdTable<M> table_;
    Pool<IoHandler, M> closures_;
    Array<int, M> changes_;
    Array<Event, M> events_;
    Event* next_ = nullptr;  // in the batch: a nested turn, an exception or a stop leaves it there
    Event* end_ = nullptr;
    size_t failures_ = 0;  // the head of changes_: failed changes to deliver
    size_t registered_ = 0;
    size_t rebuilds_ = 0;
    size_t batches_ = 0;
    size_t next_rebuild_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/dispatch.hpp

// The less travelled ways of an event to its handler: two handlers per descriptor, edges and
// one-shots that must not be lost, changes that failed, and events for registrations that are gone.
//
// The straight way is Descriptors::dispatch, in descriptors.hpp.

namespace rondo::inline RONDO_ABI::detail {

// An edge or a one-shot that nobody has heard in the end is asked for again, whatever way the calls
// end.
template <Poller P, Memory M>
struct Descriptors<P, M>::Delivery : Unheard {
    Descriptors& self;
    Slot& slot;
    const uint32_t generation;

    Delivery(Descriptors& owner, Slot& of, int number, Interest armed) noexcept
        : Unheard{number, armed, owner.state_.unheard},
          self(owner),
          slot(of),
          generation(of.generation) {
        self.state_.unheard = this;
    }
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;
    ~Delivery() {
        self.state_.unheard = outer;
        if (directions == Interest::none || slot.generation != generation) return;
        self.ask_again(fd, slot, directions);
    }
};

// Two handlers run in the order of the barrier; the second only if the descriptor is still
// registered with its direction and its handler.
template <Poller P, Memory M>
bool Descriptors<P, M>::deliver_with_care(Frame& frame, Slot& slot, int fd, uint8_t bits,
                                          size_t& ran) {
    constexpr Interest reading = Interest::read | Interest::priority;
    constexpr Interest writing = Interest::write;
    const Interest armed = slot.interest;
    const bool oneshot = rondo::any(armed, Interest::oneshot);
    const auto accepted = static_cast<uint8_t>(bits & slot.accepts());
    if (accepted != bits && (accepted == 0 || !oneshot)) ask_again(fd, slot, Interest::none);
    if (accepted == 0) return true;
    if (oneshot) {
        slot.interest = slot.applied = modes(armed);
        slot.refresh();
    }
    Delivery unheard(*this, slot, fd, directions(armed));
    if (slot.write == nullptr) {
        if (busy(frame, slot.read)) return true;
        unheard.directions = Interest::none;
        return ++ran, call(frame, slot.read, fd, static_cast<Readiness>(accepted));
    }
    if ((accepted & 0x3bU) == 0) unheard.directions &= ~reading;
    if ((accepted & 0x1cU) == 0) unheard.directions &= ~writing;
    const bool write_first = rondo::any(armed, Interest::write_first);
    for (const bool write : {write_first, !write_first}) {
        const Interest direction = write ? writing : reading;
        if (!rondo::any(unheard.directions, direction)) continue;
        if (slot.generation != unheard.generation) return true;
        if (slot.has(write ? Slot::mute_write : Slot::mute_read)) continue;
        // A one-shot is disarmed in all directions by now, unless the first handler has re-armed
        // some.
        const bool disarmed = oneshot && directions(slot.interest) == Interest::none;
        if (!disarmed && !rondo::any(slot.interest, direction)) continue;
        IoHandler* const handler = write ? slot.write : slot.read;
        if (busy(frame, handler)) continue;
        unheard.directions &= ~direction;
        const auto told = static_cast<Readiness>(accepted & (write ? 0x3cU : 0x3bU));
        if (++ran, !call(frame, handler, fd, told)) return false;
    }
    return true;
}

// A level is reported again by itself. For an edge or a one-shot the next flush tells the poller
// the interest once more, which reports a state that still lasts (P4).
template <Poller P, Memory M>
void Descriptors<P, M>::ask_again(int fd, Slot& slot, Interest unheard) noexcept {
    if (slot.simple()) return;
    if (directions(slot.interest) == Interest::none &&
        rondo::any(slot.interest, Interest::oneshot)) {
        slot.interest |= unheard;
        slot.refresh();
    }
    slot.set(Slot::forced);
    enqueue(fd, slot);
}

// All directions were switched off. A one-shot is disarmed while its handlers run, so its interest
// doesn't tell that the second isn't to be called any more.
template <Poller P, Memory M>
void Descriptors<P, M>::forget_unheard(int fd) noexcept {
    const Slot& slot = *table_.find(fd);
    if (!rondo::any(slot.interest, Interest::oneshot)) return;
    for (Unheard* each = state_.unheard; each != nullptr; each = each->outer) {
        if (each->fd == fd) each->directions = Interest::none;
    }
}

// What a nested turn can't tell, because the handler is running, stays in the list of changes.
template <Poller P, Memory M>
void Descriptors<P, M>::deliver_failures(Frame& frame, size_t& ran) {
    for (size_t i = 0; i < failures_; ++i) {
        const int fd = changes_[i];
        Slot& slot = *table_.find(fd);
        if (!slot.registered() || !slot.has(Slot::failed)) continue;
        if (busy(frame, slot.read) || busy(frame, slot.write)) continue;
        slot.clear(Slot::failed);
        const uint32_t generation = slot.generation;
        IoHandler* const write = slot.write;
        if (++ran, !call(frame, slot.read, fd, Readiness::error)) return;
        if (write == nullptr || slot.generation != generation || slot.write != write) continue;
        if (++ran, !call(frame, write, fd, Readiness::error)) return;
    }
    failures_ = 0;
}

// An event whose registration is gone. In the batch during which it was removed that is as it
// should be. Later it means that a descriptor was closed without remove() while a duplicate of it
// lives: the kernel keeps such an entry under a number that can no longer be named (epoll(7),
// question 6).
template <Poller P, Memory M>
void Descriptors<P, M>::stale(const Event& event) noexcept {
    const Token token = event.token();
    if (token == Token::wake_up()) return;
    const Slot* const slot = table_.find(token.fd());
    if (slot != nullptr && slot->has(Slot::fresh)) return;
    const bool reused = slot != nullptr && slot->registered();
    if (!reused && poller_.remove(token.fd(), Interest::read)) return;
    rebuild();
}

// Not more often than every 64 batches: it costs a system call per registration.
template <Poller P, Memory M>
void Descriptors<P, M>::rebuild() noexcept {
    if (batches_ < next_rebuild_ || !poller_.reopen()) return;
    next_rebuild_ = batches_ + 64;
    ++rebuilds_;
    table_.for_each([this](int fd, Slot& slot) {
        slot.applied = slot.interest;
        if (poller_.add(fd, slot.interest, Token(fd, slot.generation))) return;
        slot.set(Slot::failed);
        enqueue(fd, slot);
    });
}

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/children.hpp

// Child processes as events of a loop: the system gives a descriptor that is readable when the
// child has ended, and the loop reaps that child and no other. The handler runs once; by then the
// watch is gone, so it may do what it likes.

#include <utility>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Children {
public:
    using Handler = BasicChildHandler<M>;

    Children(P& poller, Descriptors<P, M>& descriptors) noexcept
        : poller_(poller), descriptors_(descriptors) {}

    [[gnu::cold]] Result<SlabKey> add(int pid, Handler& handler, Where where) {
        if (!handler) return Error(ENOMEM, "on_child");
        auto fd = poller_.system().watch_child(pid);
        if (!fd) return fd.error();
        const SlabKey key = records_.insert(Record{pid, *fd, std::move(handler)});
        Result<void> added = Error(ENOMEM, "on_child");
        if (key) {
            BasicIoHandler<M> ended = [this, key] { end(key); };
            added =
                descriptors_.add(*fd, Interest::read, ended, nullptr, FdSlot<M>::internal, where);
        }
        if (added) return key;
        poller_.system().unwatch_child(pid, *fd);
        records_.erase(key);
        return added.error();
    }

    [[gnu::cold]] void remove(SlabKey key) noexcept {
        Record* const record = records_.find(key);
        if (record == nullptr) return;
        descriptors_.remove(record->fd);
        poller_.system().unwatch_child(record->pid, record->fd);
        records_.erase(key);
    }

    void set_background(SlabKey key, bool background) noexcept {
        if (Record* const record = records_.find(key)) {
            descriptors_.set_background(record->fd, background);
        }
    }

    /// Calls f(pid, fd) for each.
    template <class F>
    void for_each(F&& f) {
        records_.for_each([&f](SlabKey, const Record& record) { f(record.pid, record.fd); });
    }

    bool valid(SlabKey key) noexcept { return records_.find(key) != nullptr; }

    [[gnu::cold]] void clear() noexcept {
        records_.for_each([this](SlabKey key, Record&) { remove(key); });
    }

private:
    struct Record {
        int pid;
        int fd;
        Handler handler;
    };

    [[gnu::cold]] void end(SlabKey key) {
        Record& record = *records_.find(key);
        auto reaped = poller_.system().reap_child(record.pid);
        if (!reaped && reaped.error() == EAGAIN) return;
        // Somebody else has reaped it: that it has ended is all that can be said.
        const ChildStatus status = reaped ? *reaped : ChildStatus{record.pid, false, -1};
        Handler handler = std::move(record.handler);
        remove(key);
        handler(status);
    }

    P& poller_;
    Descriptors<P, M>& descriptors_;
    Slab<Record, M> records_;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/hook.hpp

// Hook: a task that runs in every turn for as long as its owner lives.

#include <utility>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of one before-sleep or after-sleep task; `typename Loop::Hook` is the name to
/// use.
/// Lifetime: must not outlive the loop (asserted). Tests false if memory was out.
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the hook ends with it")]] BasicHook {
public:
    BasicHook() noexcept = default;
    BasicHook(Loop& loop, typename Loop::HookRecord* record) noexcept
        : loop_(record != nullptr ? &loop : nullptr), record_(record) {
        if (loop_ != nullptr) loop_->count_handle(+1);
    }
    BasicHook(BasicHook&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), record_(other.record_) {}
    BasicHook& operator=(BasicHook&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this hook.
            const BasicHook old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            record_ = other.record_;
        }
        return *this;
    }
    ~BasicHook() { reset(); }

    explicit operator bool() const noexcept { return loop_ != nullptr; }

    /// Ends it now; if it is running, it ends when it returns.
    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        loop->count_handle(-1);
        loop->end_hook(record_);
    }

private:
    Loop* loop_ = nullptr;
    typename Loop::HookRecord* record_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/hooks.hpp

// The hooks of a loop: tasks that run in every turn, right before it sleeps and right after it
// woke, in the order in which they were made. A hook may remove itself and others, make new ones
// (which run from the next turn on), and run a nested poll().

#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI::detail {

/// When a hook runs.
enum class HookTime : uint8_t { before_sleep, after_sleep };

template <Memory M>
struct HookRecord {
    BasicTask<M> task;
    HookTime time;
    uint64_t number;  // of making: a phase stops before hooks that it has made itself
    HookRecord* previous = nullptr;
    HookRecord* next = nullptr;
};

template <Memory M>
class Hooks {
public:
    using Record = HookRecord<M>;

    explicit Hooks(TurnState& state) noexcept : state_(state) {}

    /// nullptr if memory is out.
    [[gnu::cold]] Record* add(HookTime time, BasicTask<M>& task) noexcept {
        if (!task) return nullptr;
        Record* const record = pool_.create(Record{std::move(task), time, ++made_});
        if (record == nullptr) return nullptr;
        record->previous = last_;
        (last_ != nullptr ? last_->next : first_) = record;
        last_ = record;
        return record;
    }

    [[gnu::cold]] void remove(Record* record) noexcept {
        for (Cursor* cursor = cursors_; cursor != nullptr; cursor = cursor->outer_cursor) {
            if (cursor->next == record) cursor->next = record->next;
        }
        (record->previous != nullptr ? record->previous->next : first_) = record->next;
        (record->next != nullptr ? record->next->previous : last_) = record->previous;
        if (!state_.retire(record)) pool_.destroy(record);
    }

    /// Runs the hooks of one time, but none that is running in an outer turn.
    void run(HookTime time) {
        if (first_ == nullptr) return;
        const uint64_t limit = made_;
        Cursor cursor(state_, *this);
        cursor.next = first_;
        while (Record* const record = cursor.next) {
            cursor.next = record->next;
            if (record->number > limit) return;
            if (record->time != time || state_.running.contains(record)) continue;
            cursor.closure = record;
            record->task();
            static_cast<void>(cursor.settle());
        }
    }

    bool empty() const noexcept { return first_ == nullptr; }

    [[gnu::cold]] void clear() noexcept {
        while (first_ != nullptr) remove(first_);
    }

    /// CallFrame: the end of a hook that was removed while it ran.
    void destroy(const void* record) noexcept {
        pool_.destroy(static_cast<Record*>(const_cast<void*>(record)));
    }

private:
    struct Cursor : CallFrame<Hooks> {
        // Inlined, GCC 12 takes it for a pointer that is left dangling.
        [[gnu::noinline]] Cursor(TurnState& state, Hooks& hooks) noexcept
            : CallFrame<Hooks>(state, hooks), outer_cursor(hooks.cursors_), hooks_(hooks) {
            hooks.cursors_ = this;
        }
        ~Cursor() { hooks_.cursors_ = outer_cursor; }

        Record* next = nullptr;
        Cursor* const outer_cursor;

    private:
        Hooks& hooks_;
    };

    TurnState& state_;
    Pool<Record, M, 8> pool_;
    Record* first_ = nullptr;
    Record* last_ = nullptr;
    Cursor* cursors_ = nullptr;
    uint64_t made_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/observer.hpp

// What a loop tells about itself while it runs. An observer is a type with these functions, given
// as a template parameter; NoObserver, the default, leaves nothing of them in the program.

#include <stddef.h>

#include <concepts>

namespace rondo::inline RONDO_ABI {

/// Called on the loop's thread; must not throw, and must not call the loop.
template <class O>
concept LoopObserver =
    std::default_initializable<O> && requires(O& observer, Instant deadline, size_t count) {
        { observer.will_wait(deadline) } noexcept;  // Instant::min(): without blocking
        { observer.has_waited(count) } noexcept;    // events that the poller gave
        { observer.has_turned(count) } noexcept;    // handlers that the turn has run
    };

/// Sees nothing and costs nothing.
struct NoObserver {
    static void will_wait(Instant) noexcept {}
    static void has_waited(size_t) noexcept {}
    static void has_turned(size_t) noexcept {}
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/phases.hpp

// The parts of a turn, for callers that want only some of them.

#include <stdint.h>

namespace rondo::inline RONDO_ABI {

/// Which parts of a turn to run. Only a turn with `io` waits; only one with `hooks` runs hooks.
enum class Phases : uint8_t { io = 1, timers = 2, tasks = 4, hooks = 8, all = 15 };

template <>
inline constexpr bool is_flags<Phases> = true;

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/remote.hpp

// Remote: what another thread holds in order to hand work to a loop. It is the fast door: each
// Remote keeps a private store of nodes, so a post is one compare-and-swap, and a wake-up is
// written only when the loop sleeps. Give every thread a Remote of its own, by copying.

#include <utility>

namespace rondo::inline RONDO_ABI {

/// Lifetime: may outlive the loop, and is told so.
/// Threads: any one thread at a time. A copy belongs to whoever it is given to.
template <Memory M = Malloc>
class [[nodiscard("keep it: the Remote ends with it")]] BasicRemote {
public:
    BasicRemote() noexcept = default;
    explicit BasicRemote(typename detail::PostQueue<M>::Producer producer) noexcept
        : producer_(std::move(producer)) {}

    /// Runs `task` once on the loop's thread, in the order of the posts of this Remote.
    /// Errors: loop_gone or no_memory; the task is then not queued, and never runs.
    /// Cost: one compare-and-swap; no allocation after warm-up for closures of up to 48 bytes.
    template <class F>
    PostStatus post(F&& task) {
        if constexpr (detail::TaskRule::check<F>()) {
            return producer_.post(static_cast<F&&>(task));
        } else {
            return PostStatus::no_memory;
        }
    }

    /// Whether it keeps run() going. A loop whose last foreground Remote goes may return from
    /// run().
    void set_background(bool background) noexcept { producer_.set_background(background); }

private:
    typename detail::PostQueue<M>::Producer producer_;
};

using Remote = BasicRemote<>;

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/scratch.hpp

// Scratch: large buffers to read into, shared by everything on a loop. Whoever reads takes one for
// the length of a call; a nested turn that reads meanwhile gets another, so bytes that somebody is
// looking at never change. Buffers are kept for the next time: one for each level of nesting.

#include <stddef.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

template <Memory M>
class Scratch {
    struct Block {
        Block* next;
    };

public:
    // As much as a socket holds: with less, bulk is cut into more system calls. On a page's start:
    // the kernel copies from page to page by `rep movsb`, which is up to nine times slower when the
    // target is a few bytes ahead of its source modulo 4096, as malloc's large blocks are.
    static constexpr size_t bytes = 256 * 1024;
    static constexpr size_t alignment = 4096;

    Scratch() noexcept = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        while (free_ != nullptr) {
            Block* const block = std::exchange(free_, free_->next);
            M::release(block, bytes, alignment);
        }
    }

    /// Holds one buffer; empty if memory is out, if default-constructed, or if moved from.
    /// Lifetime: must not outlive the Scratch.
    class Lease {
    public:
        Lease() noexcept = default;
        explicit Lease(Scratch& scratch) noexcept : scratch_(&scratch), block_(scratch.take()) {}
        Lease(Lease&& other) noexcept
            : scratch_(other.scratch_), block_(std::exchange(other.block_, nullptr)) {}
        Lease& operator=(Lease&& other) noexcept {
            std::swap(scratch_, other.scratch_);
            std::swap(block_, other.block_);
            return *this;
        }
        ~Lease() {
            if (block_ == nullptr) return;
            block_->next = scratch_->free_;
            scratch_->free_ = block_;
        }

        std::span<std::byte> span() const noexcept {
            return {reinterpret_cast<std::byte*>(block_), block_ != nullptr ? bytes : 0};
        }

    private:
        Scratch* scratch_ = nullptr;
        Block* block_ = nullptr;
    };

private:
    Block* take() noexcept {
        if (free_ != nullptr) return std::exchange(free_, free_->next);
        void* const memory = M::allocate(bytes, alignment);
        return memory == nullptr ? nullptr : ::new (memory) Block{nullptr};
    }

    Block* free_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/signals.hpp

// Signals as events of a loop. The system's signal descriptor is an ordinary watch of the loop,
// made when the first signal is asked for; when it is readable, the handlers of the signals that
// have arrived run, outside of any signal context. Several may watch one signal, in one loop or in
// several.

#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Signals {
public:
    using Handler = BasicSignalHandler<M>;

    Signals(P& poller, TurnState& state, Descriptors<P, M>& descriptors) noexcept
        : poller_(poller), state_(state), descriptors_(descriptors) {}

    [[gnu::cold]] Result<SlabKey> add(int signal, Handler& handler, Where where) {
        if (!handler) return Error(ENOMEM, "on_signal");
        if (auto opened = open(where); !opened) return opened.error();
        const SlabKey key = records_.insert(Record{signal, {}, std::move(handler)});
        if (!key) return Error(ENOMEM, "on_signal");
        records_.find(key)->key = key;
        if (auto added = poller_.system().add_signal(signal); !added) {
            records_.erase(key);
            return added.error();
        }
        return key;
    }

    [[gnu::cold]] void remove(SlabKey key) noexcept {
        Record* const record = records_.find(key);
        if (record == nullptr || record->signal == 0) return;
        poller_.system().remove_signal(std::exchange(record->signal, 0));
        if (std::exchange(record->due, false) && !record->running) --due_;
        if (!state_.retire(record)) records_.erase(key);
    }

    /// Handlers that an exception, a stop or a nested turn has left.
    bool has_rest() const noexcept { return due_ != 0; }

    /// Runs the handlers of the signals that have arrived. Returns how many.
    [[gnu::cold]] size_t run() {
        Frame frame(state_, *this);
        size_t ran = 0;
        bool go_on = true;
        records_.for_each([&](SlabKey, Record& record) {
            if (!go_on || !record.due || record.running) return;
            ++ran;
            frame.closure = &record;
            {
                const Call call(*this, record);
                record.handler.call(record.signal);
            }
            go_on = frame.settle();
        });
        return ran;
    }

    [[gnu::cold]] void clear() noexcept {
        records_.for_each([this](SlabKey key, Record&) { remove(key); });
    }

    bool valid(SlabKey key) noexcept {
        const Record* const record = records_.find(key);
        return record != nullptr && record->signal != 0;
    }

    /// CallFrame: the end of a signal watch that was removed while its handler ran.
    void destroy(const void* record) noexcept {
        records_.erase(static_cast<const Record*>(record)->key);
    }

private:
    struct Record {
        int signal;  // 0: removed
        SlabKey key;
        Handler handler;
        bool due = false;
        bool running = false;
    };
    // A signal that arrives while its handler runs (in a nested turn) is due when that returns:
    // until then it must not keep nested turns from polling.
    struct Call {
        Call(Signals& signals, Record& record) noexcept : self(signals), called(record) {
            called.due = false;
            called.running = true;
            --self.due_;
        }
        ~Call() {
            called.running = false;
            if (called.due) ++self.due_;
        }
        Signals& self;
        Record& called;
    };
    using Frame = CallFrame<Signals>;

    Result<void> open(Where where) {
        if (open_) return {};
        auto fd = poller_.system().open_signals();
        if (!fd) return fd.error();
        BasicIoHandler<M> arrived = [this] { take(); };
        auto added = descriptors_.add(*fd, Interest::read, arrived, nullptr,
                                      FdSlot<M>::background | FdSlot<M>::internal, where);
        open_ = static_cast<bool>(added);
        return added;
    }

    // The set is noted before the first handler runs: a watch that a handler makes isn't told of a
    // signal that came before it.
    void take() {
        const uint64_t arrived = poller_.system().take_signals();
        records_.for_each([&](SlabKey, Record& record) {
            if (record.signal == 0 || record.due) return;
            if ((arrived >> (record.signal - 1) & 1) == 0) return;
            record.due = true;
            if (!record.running) ++due_;
        });
    }

    P& poller_;
    TurnState& state_;
    Descriptors<P, M>& descriptors_;
    Slab<Record, M> records_;
    size_t due_ = 0;  // handlers to run, without those that are running
    bool open_ = false;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/timer.hpp

// Timer: a timer that ends with its owner and can be armed again and again. Arming it anew replaces
// what it was armed for; its handler never starts once it is replaced, cancelled or destroyed.

#include <utility>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of at most one pending timer; `typename Loop::Timer` is the name to use.
/// Lifetime: must not outlive the loop (asserted).
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the timer ends with it")]] BasicTimer {
public:
    BasicTimer() noexcept = default;
    explicit BasicTimer(Loop& loop) noexcept : loop_(&loop) { loop_->count_handle(+1); }
    BasicTimer(BasicTimer&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), id_(std::exchange(other.id_, {})) {}
    BasicTimer& operator=(BasicTimer&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this timer.
            const BasicTimer old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            id_ = std::exchange(other.id_, {});
        }
        return *this;
    }
    ~BasicTimer() { reset(); }

    /// Calls the handler once, `delay` from now.
    /// Errors: false if memory is out; what it was armed for stands.
    template <class F>
    bool after(Duration delay, F&& handler, Where where = Where::here()) {
        return take(loop().after(delay, static_cast<F&&>(handler), where));
    }
    /// Calls the handler once, at `deadline`.
    template <class F>
    bool at(Instant deadline, F&& handler, Where where = Where::here()) {
        return take(loop().at(deadline, static_cast<F&&>(handler), where));
    }
    /// Calls the handler at a fixed rate.
    template <class F>
    bool every(Duration period, F&& handler, Where where = Where::here()) {
        return take(loop().every(period, static_cast<F&&>(handler), where));
    }

    /// Moves the deadline, with the handler it has. False if it isn't armed.
    bool rearm(Duration delay) noexcept { return loop_ != nullptr && loop_->rearm(id_, delay); }
    bool rearm(Instant deadline) noexcept {
        return loop_ != nullptr && loop_->rearm(id_, deadline);
    }

    /// True if a run was prevented.
    bool cancel() noexcept { return loop_ != nullptr && loop_->cancel(std::exchange(id_, {})); }

    /// True while a run is to come.
    bool armed() const noexcept {
        return loop_ != nullptr && loop_->deadline(id_) != Instant::max();
    }
    TimerId id() const noexcept { return id_; }

private:
    Loop& loop() const noexcept {
        RONDO_ASSERT(loop_ != nullptr, "arm a Timer that EventLoop::timer() has made");
        return *loop_;
    }

    // The old timer ends last: what its closure captures may own this one.
    bool take(TimerId started) noexcept {
        if (!started) return false;
        loop_->cancel(std::exchange(id_, started));
        return true;
    }

    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        loop->count_handle(-1);
        loop->cancel(std::exchange(id_, {}));
    }

    Loop* loop_ = nullptr;
    TimerId id_;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/timers.hpp

// The timer part of a loop: a heap of deadlines and, for each, a record of one cache line that
// holds the closure, up to 32 bytes of it in place. A timer that fires once and one that fires at a
// fixed rate differ only in their period.
//
// It reads no clock: the loop tells it what time it is.

#include <stddef.h>
#include <stdint.h>

#include <new>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

/// One timer. `call` returns after how long it wants to be called again.
struct TimerRecord {
    static constexpr size_t capacity = 32;
    enum Flag : uint32_t { background = 1, cancelled = 2 };  // cancelled: while it ran

    alignas(16) unsigned char storage[capacity];
    Duration (*call)(void* storage, TimerId id, uint64_t missed);
    void (*destroy)(void* storage) noexcept;  // null: nothing to do
    int64_t period_ns;                        // 0: not periodic
    uint32_t flags;
    [[no_unique_address]] Where where;
};

#ifndef RONDO_TRACE_LOCATIONS
static_assert(sizeof(void*) != 8 || sizeof(TimerRecord) == 64, "a timer is one cache line");
#endif

template <Memory M>
class Timers {
public:
    explicit Timers(TurnState& state) noexcept : state_(state) {}

    /// A key that tests false if memory is out.
    template <class Rule, class F>
    TimerId start(F&& f, Instant deadline, int64_t period_ns, Where where) {
        RONDO_ASSERT(!holds_nothing<std::decay_t<F>>(f),
                     "an empty timer handler was given: give it a callable");
        const auto [record, key] = heap_.acquire();
        if (record == nullptr) return {};
        Building building{heap_, key.slot};
        if (!build<Rule>(*record, static_cast<F&&>(f))) return {};
        building.slot = heap_.npos;
        if (record->destroy != nullptr) heap_.mark(key.slot, true);
        record->period_ns = period_ns;
        record->flags = 0;
        record->where = where;
        heap_.schedule(key.slot, deadline);
        ++state_.alive;
        return key;
    }

    /// True if a run was prevented.
    bool cancel(TimerId id) noexcept {
        if (!valid(id)) return false;
        const bool prevented = heap_.unschedule(id.slot);
        leave(id.slot);
        TimerRecord& record = heap_.record(id.slot);
        if (!state_.running.contains(&record)) {
            end(id.slot);
        } else {  // it ends when it returns
            record.flags |= TimerRecord::cancelled;
            heap_.revoke(id.slot);
        }
        return prevented;
    }

    /// False if the timer is gone.
    bool rearm(TimerId id, Instant deadline) noexcept {
        if (!valid(id)) return false;
        heap_.reschedule(id.slot, deadline);
        return true;
    }

    /// Instant::max() if it is gone or has no next run.
    Instant deadline(TimerId id) noexcept {
        if (!valid(id) || heap_.state(id.slot) == TimerState::idle) return Instant::max();
        return heap_.deadline(id.slot);
    }

    bool valid(TimerId id) const noexcept { return heap_.live(id); }

    void set_background(TimerId id, bool on) noexcept {
        if (!valid(id)) return;
        TimerRecord& record = heap_.record(id.slot);
        if (((record.flags & TimerRecord::background) != 0) == on) return;
        record.flags ^= TimerRecord::background;
        heap_.mark(id.slot, on || record.destroy != nullptr);
        on ? --state_.alive : ++state_.alive;
    }

    Instant earliest() noexcept { return heap_.earliest(); }
    bool has_rest() const noexcept { return heap_.due_left(); }
    /// Nothing to wait for: those that there may be are scheduled never.
    bool idle() const noexcept { return heap_.not_before() == Instant::max(); }

    /// Runs what is due, in order. `clock()` tells the time; it is read once for the due set, and
    /// once more after a handler that wants to be called again.
    template <class Clock>
    size_t run(Clock&& clock) {
        if (!heap_.due_left()) {
            if (idle()) return 0;
            due_at_ = clock();
            if (heap_.take_due(due_at_) == 0) return 0;
        }
        size_t ran = 0;
        Firing firing(state_, *this);
        while ((firing.slot = heap_.next_due()) != heap_.npos) {
            if (firing.outer != nullptr && state_.running.contains(&heap_.record(firing.slot))) {
                // Running in an outer turn: not entered again, but due until it has returned.
                heap_.schedule(firing.slot, heap_.deadline(firing.slot));
                continue;
            }
            ++ran;
            if (!fire(firing, clock)) break;
        }
        return ran;
    }

    /// Calls f(id, record) for every timer.
    template <class F>
    void for_each(F&& f) {
        heap_.for_each([&](uint32_t slot) { f(heap_.key(slot), heap_.record(slot)); });
    }

    /// Destroys what timers capture. Their destructors may cancel, which then does nothing.
    void clear() noexcept {
        heap_.for_each([this](uint32_t slot) { end_closure(slot); });
    }

private:
    // One level of running timers; whatever way a handler ends, its timer is brought to rest.
    struct Firing : Running::Frame {
        Firing(TurnState& state, Timers& timers) noexcept
            : Running::Frame(state.running), timers_(timers) {}
        ~Firing() {
            if (closure != nullptr) timers_.finish(*this, never, Instant());
        }
        uint32_t slot = TimerHeap<TimerRecord, M>::npos;

    private:
        Timers& timers_;
    };

    struct Building {
        TimerHeap<TimerRecord, M>& heap;
        uint32_t slot;
        ~Building() {
            if (slot != heap.npos) heap.release(slot);
        }
    };

    // False if the turn is to end here.
    template <class Clock>
    bool fire(Firing& firing, Clock& clock) {
        const uint32_t slot = firing.slot;
        TimerRecord& record = heap_.record(slot);
        uint64_t missed = 0;
        if (record.period_ns != 0) {
            // Armed before the call: what is thrown leaves it armed, and the handler may re-arm or
            // cancel it like any other.
            const Duration period(record.period_ns);
            const Instant deadline = heap_.deadline(slot);
            if (due_at_ > deadline) missed = static_cast<uint64_t>((due_at_ - deadline) / period);
            heap_.schedule(slot, deadline + period * static_cast<int64_t>(missed) + period);
        }
        firing.closure = &record;
        const Duration again = record.call(record.storage, heap_.key(slot), missed);
        finish(firing, again, again == never ? Instant() : clock());
        return !state_.stopped();
    }

    // The handler of `firing` is done: schedule its timer again, leave it as it is scheduled, or
    // end it.
    void finish(Firing& firing, Duration again, Instant now) noexcept {
        const uint32_t slot = firing.slot;
        TimerRecord& record = heap_.record(slot);
        firing.closure = nullptr;
        if ((record.flags & TimerRecord::cancelled) == 0) {
            if (again != never) return heap_.schedule(slot, now + again);
            if (heap_.state(slot) != TimerState::idle) return;
            leave(slot);
        }
        end(slot);
    }

    // Most timers are marked neither as background nor as having something to destroy, and can be
    // cancelled without a look at their record, which is often out of the cache.
    void leave(uint32_t slot) noexcept {
        if (heap_.marked(slot) && (heap_.record(slot).flags & TimerRecord::background) != 0) return;
        --state_.alive;
    }
    void end(uint32_t slot) noexcept {
        if (heap_.marked(slot)) end_closure(slot);
        heap_.release(slot);
    }

    // The closure's destructor may use the loop, and finds its own id stale.
    [[gnu::noinline]] void end_closure(uint32_t slot) noexcept {
        TimerRecord& record = heap_.record(slot);
        heap_.revoke(slot);
        if (auto* const destroy = std::exchange(record.destroy, nullptr)) destroy(record.storage);
    }

    template <class Rule, class Fn>
    static Duration invoke(Fn& fn, TimerId id, uint64_t missed) {
        if constexpr (std::is_same_v<Rule, TickRule>) {
            static_cast<void>(CallTail<Fn, Tick>::call(fn, Tick{id, missed}));
            return never;
        } else if constexpr (std::is_void_v<decltype(CallTail<Fn, TimerId>::call(fn, id))>) {
            CallTail<Fn, TimerId>::call(fn, id);
            return never;
        } else {
            return CallTail<Fn, TimerId>::call(fn, id);
        }
    }

    template <class Rule, class F>
    bool build(TimerRecord& record, F&& f) {
        using Fn = std::decay_t<F>;
        if constexpr (!Rule::template check<F>()) {
            return false;
        } else if constexpr (fits_in_place<Fn, TimerRecord::capacity>) {
            ::new (static_cast<void*>(record.storage)) Fn(static_cast<F&&>(f));
            record.call = [](void* storage, TimerId id, uint64_t missed) {
                return invoke<Rule>(*static_cast<Fn*>(storage), id, missed);
            };
            record.destroy = nullptr;
            if constexpr (!std::is_trivially_destructible_v<Fn>) {
                record.destroy = [](void* storage) noexcept { static_cast<Fn*>(storage)->~Fn(); };
            }
            return true;
        } else {
            return build_elsewhere<Rule, Fn>(record, static_cast<F&&>(f));
        }
    }

    template <class Rule, class Fn, class F>
    bool build_elsewhere(TimerRecord& record, F&& f) {
        struct Block {
            void* memory = M::allocate(sizeof(Fn), alignof(Fn));
            ~Block() {
                if (memory != nullptr) M::release(memory, sizeof(Fn), alignof(Fn));
            }
        } block;
        if (block.memory == nullptr) return false;
        ::new (static_cast<void*>(record.storage))
            Fn*(::new (block.memory) Fn(static_cast<F&&>(f)));
        block.memory = nullptr;
        record.call = [](void* storage, TimerId id, uint64_t missed) {
            return invoke<Rule>(**static_cast<Fn**>(storage), id, missed);
        };
        record.destroy = [](void* storage) noexcept {
            Fn* const fn = *static_cast<Fn**>(storage);
            fn->~Fn();
            M::release(fn, sizeof(Fn), alignof(Fn));
        };
        return true;
    }

    TurnState& state_;
    TimerHeap<TimerRecord, M> heap_;
    Instant due_at_;
};

}  // namespace rondo::inline RONDO_ABI::detail

// ---- rondo/loop/watch.hpp

// Watch: a registration that ends with its owner. It names a descriptor and the generation of its
// registration, or a signal or child watch; if the registration is gone already, its end does
// nothing.

#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of one registration; `typename Loop::Watch` is the name to use.
/// Lifetime: must not outlive the loop (asserted). Its handler never starts again once it is
/// destroyed.
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the registration ends with it")]] BasicWatch {
public:
    /// What it watches.
    enum class Kind : uint8_t { none, fd, signal, child };

    BasicWatch() noexcept = default;
    BasicWatch(Loop& loop, Kind kind, SlabKey key) noexcept : loop_(&loop), key_(key), kind_(kind) {
        loop_->count_handle(+1);
    }
    BasicWatch(BasicWatch&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)),
          key_(other.key_),
          kind_(std::exchange(other.kind_, Kind::none)) {}
    BasicWatch& operator=(BasicWatch&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this watch.
            const BasicWatch old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            key_ = other.key_;
            kind_ = std::exchange(other.kind_, Kind::none);
        }
        return *this;
    }
    ~BasicWatch() { reset(); }

    /// True while the registration stands.
    explicit operator bool() const noexcept {
        return loop_ != nullptr && loop_->watching(kind_, key_);
    }

    /// The descriptor; -1 for a signal or child watch.
    int fd() const noexcept { return kind_ == Kind::fd ? static_cast<int>(key_.index) : -1; }

    /// Changes the interest; merged with other changes before the next wait.
    void modify(Interest interest) noexcept {
        RONDO_ASSERT(kind_ == Kind::fd && *this, "modify: this watch has no descriptor registered");
        loop_->modify(fd(), interest);
    }

    /// Whether it keeps run() going; signal watches never do.
    void set_background(bool background) noexcept {
        if (*this) loop_->set_watch_background(kind_, key_, background);
    }

    /// Ends the registration now.
    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        const Kind kind = std::exchange(kind_, Kind::none);
        loop->count_handle(-1);
        loop->end_watch(kind, key_);
    }

    /// Gives up ownership of a descriptor's registration, which stays until it is removed by its
    /// number.
    /// Errors: asserts that it isn't a signal or child, which nothing else could end.
    void release() noexcept {
        RONDO_ASSERT(loop_ == nullptr || kind_ == Kind::fd,
                     "release: a signal or child watch ends only with its Watch");
        if (loop_ != nullptr) std::exchange(loop_, nullptr)->count_handle(-1);
        kind_ = Kind::none;
    }

private:
    Loop* loop_ = nullptr;
    SlabKey key_;  // {descriptor, generation of the registration} for a descriptor
    Kind kind_ = Kind::none;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/event_loop.hpp

// EventLoop<Poller>: waits for descriptors, timers, signals, children and other threads, and calls
// the handlers of what happened. One turn:
//
//   before_sleep hooks
//     -> apply merged interest changes
//     -> wait, until the earliest deadline
//   after_sleep hooks
//     -> ready descriptors, in the poller's order (each: read, then write; write_first inverts it)
//     -> due timers, by deadline, ties in the order of scheduling
//     -> tasks, deferred ones first, then posted ones
//
// Each phase runs only what was there when it began. What an exception, a stop or a nested poll()
// leaves of a phase is finished first by the next turn, which then doesn't wait.
//
// It refuses to be shared between threads: one loop, one thread, and doors (post, Remote, stop).

#include <stddef.h>
#include <stdint.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// The reactor. Neither copied nor moved: handlers, watches and remotes point at it.
///
/// Lifetime: Watch, Timer and Hook must be gone before it (asserted); a Remote may outlive it. Its
/// end runs no handler, destroys what handlers capture, and leaves the user's descriptors open.
/// Threads: every function belongs to the thread that runs the loop (asserted), but for post, stop,
/// remote and what a Remote does. Before the first run it may be set up by any one thread.
/// Errors: what the system refuses comes back from the call and changes nothing. A handler's
/// exception leaves run(), and run() may be called again.
template <Poller P, LoopObserver Observer = NoObserver, Memory M = Malloc>
class EventLoop {
public:
    using Poller = P;
    using MemoryPolicy = M;
    using IoHandler = BasicIoHandler<M>;
    using Task = BasicTask<M>;
    using SignalHandler = BasicSignalHandler<M>;
    using ChildHandler = BasicChildHandler<M>;
    using Watch = BasicWatch<EventLoop>;
    using Timer = BasicTimer<EventLoop>;
    using Hook = BasicHook<EventLoop>;
    using Remote = BasicRemote<M>;
    using HookRecord = detail::HookRecord<M>;

    /// Opens a poller of its own.
    /// Errors: throws std::system_error if that fails; stops the program where exceptions are off.
    EventLoop() : EventLoop(P::open().value()) {}
    /// Runs on a poller that was opened before.
    /// Errors: as above, if memory is out.
    [[gnu::cold]] explicit EventLoop(P poller);
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    [[gnu::cold]] ~EventLoop();

    // Descriptors ------------------------------------------------------------------------------

    /// Watches `fd`, which should be non-blocking: readiness is a hint, and a handler that blocks
    /// holds up everybody. One handler for both directions is called once per turn with all that is
    /// ready.
    /// Lifetime: the descriptor stays the caller's, who ends it with close(), or with remove()
    /// before closing it.
    /// Threads: loop thread.
    /// Errors: EBADF, EEXIST if it is watched already (or its number was when it was closed without
    /// remove()), ENOMEM, and what the poller says (P2).
    /// Cost: one system call.
    Result<void> add(int fd, Interest interest, IoHandler handler, Where where = Where::here()) {
        if (refuse()) return closing_error("add", fd);
        return descriptors_.add(fd, interest, handler, nullptr, 0, where);
    }
    /// The same with a handler per direction; they run read, then write.
    Result<void> add(int fd, Interest interest, IoHandler on_read, IoHandler on_write,
                     Where where = Where::here()) {
        if (refuse()) return closing_error("add", fd);
        return descriptors_.add(fd, interest, on_read, &on_write, 0, where);
    }

    /// Changes the directions that are watched. Its modes (edge, oneshot, write_first) stay.
    /// Threads: loop thread.
    /// Errors: asserts that `fd` is watched. A change that the poller refuses later reaches the
    /// handler as Readiness::error.
    /// Cost: no system call; merged with other changes and applied before the next wait.
    void modify(int fd, Interest interest) noexcept {
        if (refuse()) return;
        descriptors_.modify(fd, interest);
        disturb();
    }

    /// Gives a direction (or both) another handler, which is first called after the next wait. A
    /// handler that served both keeps the other direction if that is watched.
    /// Threads: loop thread.
    /// Errors: asserts that `fd` is watched; ENOMEM.
    Result<void> replace(int fd, Interest direction, IoHandler handler) {
        if (refuse()) return closing_error("replace", fd);
        Result<void> replaced = descriptors_.replace(fd, direction, handler);
        disturb();
        return replaced;
    }

    /// Ends the registration at once, also in the kernel, and also for events of the current batch.
    /// Does nothing if there is none.
    /// Threads: loop thread.
    /// Cost: one system call.
    void remove(int fd) noexcept {
        if (!refuse()) descriptors_.remove(fd);
    }

    /// Ends the registration of `fd`, if there is one, and closes it. On epoll that is one system
    /// call instead of two. Where a duplicate of it lives on, say in a forked child, the kernel
    /// goes on reporting it; the first such event costs a rebuild (see rebuilds()).
    /// Threads: loop thread.
    void close(int fd) noexcept {
        if (!refuse()) descriptors_.remove_before_close(fd);
        sockets().close(fd);
    }

    /// What `fd` is watched for; Interest::none if it isn't.
    /// Threads: loop thread.
    Interest interest(int fd) noexcept {
        static_cast<void>(refuse());
        return descriptors_.interest(fd);
    }

    /// Like add, but the registration ends with the Watch.
    /// Threads: loop thread.
    Result<Watch> watch(int fd, Interest interest, IoHandler handler, Where where = Where::here()) {
        auto added = add(fd, interest, std::move(handler), where);
        if (!added) return added.error();
        return Watch(*this, Watch::Kind::fd,
                     {static_cast<uint32_t>(fd), descriptors_.find(fd)->generation});
    }

    // Timers -----------------------------------------------------------------------------------

    /// Calls `handler` once, not earlier than `delay` from now. A handler that returns a Duration
    /// is called again that long after it returned, until it returns rondo::never.
    /// Threads: loop thread.
    /// Errors: the id tests false if memory is out.
    /// Cost: a clock read and O(log n); no allocation after warm-up for closures of up to 32 bytes.
    template <class F>
    TimerId after(Duration delay, F&& handler, Where where = Where::here()) {
        return at(poller_.now() + delay, static_cast<F&&>(handler), where);
    }
    /// The same at a deadline on the clock of now(): `at(loop.now() + 1s, f)`. Reads no clock.
    template <class F>
    TimerId at(Instant deadline, F&& handler, Where where = Where::here()) {
        return start<detail::TimerRule>(static_cast<F&&>(handler), deadline, 0, where);
    }
    /// Calls `handler` at a fixed rate, the first time after one period, until it is cancelled.
    /// Ticks that are missed because the loop was busy collapse into the next one, which may be
    /// told how many they were.
    /// Threads: loop thread.
    /// Errors: as after(). A period under 1 ns counts as 1 ns.
    template <class F>
    TimerId every(Duration period, F&& handler, Where where = Where::here()) {
        const int64_t ns = period.ns() > 0 ? period.ns() : 1;
        return start<detail::TickRule>(static_cast<F&&>(handler), poller_.now() + Duration(ns), ns,
                                       where);
    }

    /// Ends a timer. True: a run was prevented. A stale id of this loop is harmless.
    /// Threads: loop thread.
    /// Cost: O(1) now, its share of O(log n) later.
    bool cancel(TimerId id) noexcept { return !refuse() && timers_.cancel(id); }

    /// Moves a timer, a fired one too while its handler runs. False if it is gone. The form with an
    /// Instant reads no clock: `rearm(id, loop.now() + 60s)` is the one for idle timeouts.
    /// Threads: loop thread.
    /// Cost: a later deadline is a store.
    bool rearm(TimerId id, Duration delay) noexcept { return rearm(id, poller_.now() + delay); }
    bool rearm(TimerId id, Instant deadline) noexcept {
        if (refuse()) return false;
        disturb();
        return timers_.rearm(id, deadline);
    }

    /// When a timer runs next; Instant::max() if it doesn't.
    /// Threads: loop thread.
    Instant deadline(TimerId id) noexcept {
        static_cast<void>(refuse());
        return timers_.deadline(id);
    }
    /// How long until then, zero if it is due; `never` if it doesn't run.
    /// Threads: loop thread.
    Duration remaining(TimerId id) noexcept;

    /// A timer that ends with its owner.
    /// Threads: loop thread.
    Timer timer() noexcept {
        static_cast<void>(refuse());
        return Timer(*this);
    }

    // Tasks and other threads ------------------------------------------------------------------

    /// Runs `task` in this turn's task phase; one deferred by a task runs in the next turn.
    /// Threads: loop thread.
    /// Errors: false if memory is out.
    template <class F>
    bool defer(F&& task) {
        if (refuse()) return false;
        disturb();
        if constexpr (detail::TaskRule::template check<F>()) {
            return queue_->defer(static_cast<F&&>(task));
        } else {
            return false;
        }
    }

    /// Runs `task` once on the loop's thread. The shared door: a Remote is three times faster, and
    /// keeps run() from returning before its owner has posted.
    /// Threads: any thread, while the loop exists.
    /// Errors: false if memory is out.
    template <class F>
    bool post(F&& task) {
        if constexpr (detail::TaskRule::template check<F>()) {
            return queue_->post_shared(static_cast<F&&>(task));
        } else {
            return false;
        }
    }

    /// A door for one other thread. It keeps run() going until it is destroyed or put in the
    /// background.
    /// Threads: any thread, while the loop exists.
    Remote remote() noexcept { return Remote(queue_->producer()); }

    // Hooks, signals, children -----------------------------------------------------------------

    /// Runs `task` in every turn before the interests are applied and the deadline is computed.
    /// Threads: loop thread.
    /// Errors: the hook tests false if memory is out.
    Hook before_sleep(Task task) noexcept { return hook(detail::HookTime::before_sleep, task); }
    /// Runs `task` in every turn after the wait; paired with before_sleep. A hook that throws ends
    /// its phase: the hooks after it miss it, and the next turn begins with before_sleep.
    Hook after_sleep(Task task) noexcept { return hook(detail::HookTime::after_sleep, task); }

    /// Calls `handler` on the loop's thread when `signal` has arrived; several arrivals may be one
    /// call, for as long as the Watch lives: keep it. Doesn't keep run() going.
    /// Threads: loop thread.
    /// Errors: EINVAL, ENOMEM, and what the system says.
    [[gnu::cold]] Result<Watch> on_signal(int signal, SignalHandler handler,
                                          Where where = Where::here()) {
        if (refuse()) return closing_error("on_signal", signal);
        auto key = signals_.add(signal, handler, where);
        if (!key) return key.error();
        return Watch(*this, Watch::Kind::signal, *key);
    }
    /// Calls `handler` once when the child process has ended, and reaps it, if the Watch still
    /// lives.
    /// Threads: loop thread.
    /// Errors: ECHILD or ESRCH if `pid` is no child, ENOMEM, what the system says.
    [[gnu::cold]] Result<Watch> on_child(int pid, ChildHandler handler,
                                         Where where = Where::here()) {
        if (refuse()) return closing_error("on_child", pid);
        auto key = children_.add(pid, handler, where);
        if (!key) return key.error();
        return Watch(*this, Watch::Kind::child, *key);
    }

    /// What is in the background doesn't keep run() going.
    /// Threads: loop thread.
    void background(int fd, bool on) noexcept {
        if (!refuse()) descriptors_.set_background(fd, on);
    }
    [[gnu::noinline]] void background(TimerId id, bool on) noexcept {
        if (!refuse()) timers_.set_background(id, on);
    }
    void background(Remote& remote, bool on) noexcept { remote.set_background(on); }

    // Running ----------------------------------------------------------------------------------
    // Hot functions of their own: who makes a loop calls what is cold, and is compiled for size.

    /// Turns until stop() or until nothing is left that could wake it: no foreground watch, timer,
    /// child or Remote, and no task. (Signal watches and hooks keep nothing going.) Returns how
    /// many handlers ran, the loop's own for signals included.
    /// Threads: makes the calling thread the loop's.
    /// Errors: asserts that it isn't called by a handler.
    [[gnu::hot, gnu::noinline]] size_t run();
    /// One turn; waits if nothing is ready, unless nothing is left that could wake it. Otherwise as
    /// run().
    [[gnu::hot, gnu::noinline]] size_t run_once(Phases phases = Phases::all);
    /// One turn without waiting. The only one that a handler may call: it first finishes what is
    /// left of the outer turn, never enters a running handler, and doesn't consume a stop.
    /// Threads: as run(); nested, the loop's.
    [[gnu::hot, gnu::noinline]] size_t poll(Phases phases = Phases::all);
    /// Turns until stop(), until nothing is left, or for `duration`. Otherwise as run().
    [[gnu::hot, gnu::noinline]] size_t run_for(Duration duration);

    /// Makes the current run, or the next one, return after the running handler. The rest of the
    /// turn is kept for the next one.
    /// Threads: any thread, while the loop exists.
    void stop() noexcept {
        state_.note(detail::TurnState::stop);
        queue_->poke();
    }

    /// The time of this turn: read on first use, the same until the next wait. While the loop isn't
    /// running it is read by each call.
    /// Threads: loop thread.
    Instant now() noexcept;

    // Embedding --------------------------------------------------------------------------------

    /// For a foreign loop: runs the before-sleep hooks (once per wait, however often it is called),
    /// applies changes and marks the loop as sleeping. The foreign loop waits for native_handle()
    /// or the deadline, whichever is first, and calls poll(). What is changed in between makes
    /// native_handle() readable.
    /// Threads: loop thread.
    [[gnu::hot, gnu::noinline]] Instant prepare();

    /// The descriptor to wait on; readable when poll() has something to do.
    /// Threads: loop thread.
    int native_handle() noexcept
        requires HasNativeHandle<P>
    {
        return poller_.native_handle();
    }

    /// In the child after fork: gives up the kernel objects that the parent shares. Afterwards the
    /// loop can only be destroyed, which makes no system call.
    /// Threads: loop thread.
    [[gnu::cold]] void abandon() noexcept;

    /// Tells what keeps the loop going, line by line, to `sink(std::string_view)`: every watch,
    /// timer and guard, with where it was made in programs built with RONDO_TRACE_LOCATIONS.
    /// Threads: loop thread.
    template <class Sink>
    void dump(Sink&& sink);

    /// The socket calls of the poller's world.
    /// Threads: loop thread, as the next three.
    typename P::Sockets& sockets() noexcept { return poller_.sockets(); }
    /// Large buffers to read into, one for each level of nested turns.
    detail::Scratch<M>& scratch() noexcept { return scratch_; }
    P& poller() noexcept { return poller_; }
    Observer& observer() noexcept { return observer_; }
    /// How often the kernel's set had to be made anew, because a descriptor was closed without
    /// remove() while a duplicate of it lived.
    size_t rebuilds() const noexcept { return descriptors_.rebuilds(); }

private:
    friend Watch;
    friend Timer;
    friend Hook;
    class Entry;

    size_t turn(Phases phases, Instant limit);
    [[gnu::always_inline]] void wait(Instant limit, bool with_timers);
    [[gnu::noinline]] bool ask_first();
    [[gnu::always_inline]] void ask(Instant deadline);
    size_t run_tasks();
    bool rest_left(Phases phases) const noexcept;
    bool alive() const noexcept { return state_.alive != 0 || busy(); }
    bool busy() const noexcept;
    bool consume_stop() noexcept;
    bool alone() noexcept { return poller_.system().single_threaded(); }

    template <class Rule, class F>
    TimerId start(F&& handler, Instant deadline, int64_t period_ns, Where where);
    Hook hook(detail::HookTime time, Task& task) noexcept;
    void end_hook(HookRecord* record) noexcept;
    [[gnu::cold]] void end_watch(typename Watch::Kind kind, SlabKey key) noexcept;
    [[gnu::cold]] bool watching(typename Watch::Kind kind, SlabKey key) noexcept;
    [[gnu::cold]] void set_watch_background(typename Watch::Kind kind, SlabKey key,
                                            bool on) noexcept;
    void count_handle(int change) noexcept { handles_ += change; }
    // Calls made while the loop is being destroyed do nothing: the destructors of what handlers
    // capture may make them. Calls by a thread that isn't the loop's stop the program.
    [[gnu::always_inline]] bool refuse() noexcept {
        const uintptr_t owner = owner_.load(std::memory_order_relaxed);
        RONDO_ASSERT(owner == 0 || owner == poller_.system().thread_token(),
                     "a loop belongs to the thread that runs it: use post() or a Remote instead");
        return state_.closing;
    }
    void disturb() noexcept;
    [[gnu::cold]] static Error closing_error(const char* call, int fd) noexcept {
        return Error::on_fd(ECANCELED, call, fd);
    }

    P poller_;
    detail::TurnState state_;
    detail::Descriptors<P, M> descriptors_{poller_, state_};
    detail::Timers<M> timers_{state_};
    detail::Hooks<M> hooks_{state_};
    detail::Signals<P, M> signals_{poller_, state_, descriptors_};
    detail::Children<P, M> children_{poller_, descriptors_};
    detail::Scratch<M> scratch_;
    detail::PostQueue<M>* queue_;
    std::atomic<uintptr_t> owner_{0};  // the thread that runs it; 0: none
    Instant now_;
    bool now_known_ = false;
    bool abandoned_ = false;
    bool prepared_ = false;  // prepare() has run the before-sleep hooks of the next wait
    bool had_work_ = false;  // the last turn ran a handler
    uint32_t patience_ = 0;  // turns to block at once, because asking first was in vain
    uint32_t patience_next_ = 1;
    int handles_ = 0;
    [[no_unique_address]] Observer observer_;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/loop/turn.hpp

// How a loop turns: the run modes, one turn, the wait with its sleeping protocol, and the ends of a
// loop. The diagram that turn() follows is at the head of event_loop.hpp.

namespace rondo::inline RONDO_ABI {

template <Poller P, LoopObserver Observer, Memory M>
EventLoop<P, Observer, M>::EventLoop(P poller) : poller_(std::move(poller)) {
    const auto wake = [](void* context) noexcept { static_cast<P*>(context)->wake(); };
    queue_ = detail::PostQueue<M>::create(wake, &poller_);
    if (queue_ == nullptr || !descriptors_.make_room()) {
        if (queue_ != nullptr) queue_->close();
        detail::raise(Error(ENOMEM, "EventLoop"));
    }
}

template <Poller P, LoopObserver Observer, Memory M>
EventLoop<P, Observer, M>::~EventLoop() {
    static_cast<void>(refuse());
    RONDO_ASSERT(!state_.running.any(),
                 "a handler must not destroy the loop that runs it: stop() it");
    state_.closing = true;
    hooks_.clear();
    children_.clear();
    signals_.clear();
    timers_.clear();
    descriptors_.clear();
    queue_->close();  // last: until then post() and stop() are legal, also in the destructors above
    RONDO_ASSERT(handles_ == 0,
                 "destroy every Watch, Timer and Hook (a Listener holds them) before the loop");
}

// Who runs a loop owns it meanwhile. Only the outermost run changes the owner, and consumes a stop.
template <Poller P, LoopObserver Observer, Memory M>
class EventLoop<P, Observer, M>::Entry {
public:
    explicit Entry(EventLoop& loop) noexcept : loop_(loop), outermost_(!loop.state_.running.any()) {
        if (!outermost_) return;
        RONDO_ASSERT(!loop.abandoned_, "this loop was abandoned after fork: only destroy it");
        loop_.owner_.store(loop_.poller_.system().thread_token(), std::memory_order_relaxed);
        if (!loop_.state_.sleeping) return;
        loop_.state_.sleeping = false;
        loop_.queue_->awake();
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() {
        if (!outermost_) return;
        loop_.now_known_ = false;
        loop_.owner_.store(0, std::memory_order_relaxed);
    }
    bool outermost() const noexcept { return outermost_; }

private:
    EventLoop& loop_;
    const bool outermost_;
};

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run() {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(), "run() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    size_t ran = 0;
    while (!consume_stop() && alive()) ran += turn(Phases::all, Instant::max());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_once(Phases phases) {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(),
                 "run_once() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    if (consume_stop()) return 0;
    const size_t ran = turn(phases, Instant::max());
    static_cast<void>(consume_stop());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::poll(Phases phases) {
    if (refuse()) return 0;
    const Entry entry(*this);
    size_t ran = 0;
    if (rest_left(phases) && !state_.stopped()) ran += turn(phases, Instant::min());
    if (!state_.stopped()) ran += turn(phases, Instant::min());
    if (entry.outermost()) static_cast<void>(consume_stop());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_for(Duration duration) {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(),
                 "run_for() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    const Instant until = poller_.now() + duration;
    size_t ran = 0;
    while (!consume_stop() && alive()) {
        ran += turn(Phases::all, until);
        if (!state_.stopped() && poller_.now() >= until) break;
    }
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::turn(Phases phases, Instant limit) {
    const bool with_io = rondo::any(phases, Phases::io);
    const bool with_hooks = rondo::any(phases, Phases::hooks);
    if (with_io && !rest_left(phases)) {
        bool left = false;
        if (with_hooks && !hooks_.empty() && !prepared_) {
            hooks_.run(detail::HookTime::before_sleep);
            // A stop in a poll() that a hook has called may have left events: a wait drops them.
            left = rest_left(phases);
        }
        if (!left) {
            descriptors_.flush();
            wait(limit, rondo::any(phases, Phases::timers));
        }
        if (with_hooks) {
            prepared_ = false;
            if (!hooks_.empty()) hooks_.run(detail::HookTime::after_sleep);
        }
    }
    size_t ran = 0;
    if (with_io && !state_.stopped()) ran += descriptors_.dispatch();
    if (signals_.has_rest() && with_io && !state_.stopped()) ran += signals_.run();
    // Where tasks were left, the timers of that turn have had their phase.
    if ((timers_.has_rest() || (!timers_.idle() && !queue_->has_rest())) &&
        rondo::any(phases, Phases::timers) && !state_.stopped()) {
        ran += timers_.run([this] { return poller_.now(); });
    }
    if (rondo::any(phases, Phases::tasks) && queue_->has_work() && !state_.stopped()) {
        ran += run_tasks();
    }
    had_work_ = ran != 0;
    observer_.has_turned(ran);
    return ran;
}

// Blocks only if nothing at all is left to do, and something could end the wait. S1 to S4 are the
// steps of the sleeping protocol, described in core/post_queue.hpp.
template <Poller P, LoopObserver Observer, Memory M>
inline void EventLoop<P, Observer, M>::wait(Instant limit, bool with_timers) {
    Instant deadline = Instant::min();
    if (limit != Instant::min() && !descriptors_.has_failures() && !timers_.has_rest()) {
        const bool timed = with_timers && !timers_.idle();
        const bool finite = timed || limit != Instant::max();
        if (finite && had_work_ && !state_.stopped() && !queue_->has_work() && !ask_first()) {
            return;
        }
        if (queue_->prepare_sleep(alone()) &&  // S1
            !state_.stopped() && alive()) {    // S2
            // Only now: the exact answer pays for what later moves and cancellations have left.
            deadline = timed ? earlier(limit, timers_.earliest()) : limit;
        }
    }
    ask(deadline);           // S3
    queue_->awake(alone());  // S4
}

// A finite timeout costs the kernel a timer of its own. A busy loop asks without one first; a quiet
// one, for which that is in vain, does so ever less often. True: nothing is there, go on and block.
template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::ask_first() {
    if (patience_ != 0) return --patience_, true;
    ask(Instant::min());
    if (descriptors_.has_rest()) {
        patience_next_ = 1;
        return false;
    }
    patience_ = patience_next_;
    if (patience_next_ < 64) patience_next_ *= 2;
    return true;
}

template <Poller P, LoopObserver Observer, Memory M>
inline void EventLoop<P, Observer, M>::ask(Instant deadline) {
    observer_.will_wait(deadline);
    const Result<size_t> arrived = poller_.wait(descriptors_.room(), deadline);
    RONDO_ASSERT(arrived, "the poller's wait failed: its descriptor was closed by somebody else");
    now_known_ = false;
    descriptors_.arrived(*arrived);
    observer_.has_waited(*arrived);
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_tasks() {
    if (!queue_->has_rest() && !queue_->take()) return 0;
    const detail::Running::Frame frame(state_.running);
    size_t ran = 0;
    while (!state_.stopped() && queue_->run_one()) ++ran;
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::rest_left(Phases phases) const noexcept {
    return (rondo::any(phases, Phases::io) && (descriptors_.has_rest() || signals_.has_rest())) ||
           (rondo::any(phases, Phases::timers) && timers_.has_rest()) ||
           (rondo::any(phases, Phases::tasks) && queue_->has_rest());
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::busy() const noexcept {
    // In this order: a Remote that posts and goes has posted before it is seen to be gone.
    return queue_->has_foreground() || queue_->has_work() || rest_left(Phases::all);
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::consume_stop() noexcept {
    if (!state_.stopped()) return false;
    state_.forget(detail::TurnState::stop);
    return true;
}

template <Poller P, LoopObserver Observer, Memory M>
Instant EventLoop<P, Observer, M>::now() noexcept {
    static_cast<void>(refuse());
    if (!now_known_) {
        now_ = poller_.now();
        now_known_ = owner_.load(std::memory_order_relaxed) != 0;
    }
    return now_;
}

template <Poller P, LoopObserver Observer, Memory M>
Duration EventLoop<P, Observer, M>::remaining(TimerId id) noexcept {
    const Instant at = deadline(id);
    if (at == Instant::max()) return never;
    const Duration left = at - poller_.now();
    return left > Duration() ? left : Duration();
}

template <Poller P, LoopObserver Observer, Memory M>
template <class Rule, class F>
TimerId EventLoop<P, Observer, M>::start(F&& handler, Instant deadline, int64_t period_ns,
                                         Where where) {
    if (refuse()) return {};
    disturb();
    return timers_.template start<Rule>(static_cast<F&&>(handler), deadline, period_ns, where);
}

template <Poller P, LoopObserver Observer, Memory M>
auto EventLoop<P, Observer, M>::hook(detail::HookTime time, Task& task) noexcept -> Hook {
    return Hook(*this, refuse() ? nullptr : hooks_.add(time, task));
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::end_hook(HookRecord* record) noexcept {
    if (!refuse()) hooks_.remove(record);
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::end_watch(typename Watch::Kind kind, SlabKey key) noexcept {
    if (refuse()) return;
    if (kind == Watch::Kind::signal) signals_.remove(key);
    if (kind == Watch::Kind::child) children_.remove(key);
    if (kind == Watch::Kind::fd && watching(kind, key)) {
        descriptors_.remove(static_cast<int>(key.index));
    }
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::watching(typename Watch::Kind kind, SlabKey key) noexcept {
    if (kind == Watch::Kind::signal) return signals_.valid(key);
    if (kind == Watch::Kind::child) return children_.valid(key);
    const auto* const slot = descriptors_.find(static_cast<int>(key.index));
    return kind == Watch::Kind::fd && slot != nullptr && slot->registered() &&
           slot->generation == key.generation;
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::set_watch_background(typename Watch::Kind kind, SlabKey key,
                                                     bool on) noexcept {
    if (kind == Watch::Kind::fd) background(static_cast<int>(key.index), on);
    if (kind == Watch::Kind::child) children_.set_background(key, on);
}

// A change while a foreign loop waits for this one: wake it, so that it calls poll().
template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::disturb() noexcept {
    if (state_.sleeping) [[unlikely]]
        poller_.wake();
}

template <Poller P, LoopObserver Observer, Memory M>
Instant EventLoop<P, Observer, M>::prepare() {
    if (refuse()) return Instant::min();
    RONDO_ASSERT(!state_.running.any(), "prepare() is for a foreign loop, not for a handler");
    const Entry entry(*this);
    if (!prepared_) hooks_.run(detail::HookTime::before_sleep);
    prepared_ = true;
    if (!rest_left(Phases::all)) descriptors_.flush();
    const bool ready =
        state_.stopped() || rest_left(Phases::all) || !queue_->prepare_sleep(alone());
    state_.sleeping = !ready;
    if (!ready && state_.stopped()) return Instant::min();
    return ready ? Instant::min() : timers_.earliest();
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::abandon() noexcept {
    abandoned_ = true;
    queue_->abandon();
    poller_.abandon();
}

template <Poller P, LoopObserver Observer, Memory M>
template <class Sink>
void EventLoop<P, Observer, M>::dump(Sink&& sink) {
    const auto say = [&sink](Text<192> line, const Where& where) {
        if (where.line != 0) line.append(" at ").append(where.file).append(':').append(where.line);
        sink(line.view());
    };
    descriptors_.for_each([&](int fd, const auto& slot) {
        using Slot = detail::FdSlot<M>;
        Text<192> line("fd ");
        line.append(fd).append(slot.has(Slot::internal) ? " (of the loop)" : "").append(':');
        if (rondo::any(slot.interest, Interest::read)) line.append(" read");
        if (rondo::any(slot.interest, Interest::priority)) line.append(" priority");
        if (rondo::any(slot.interest, Interest::write)) line.append(" write");
        if (directions(slot.interest) == Interest::none) line.append(" nothing");
        say(line.append(slot.has(Slot::background) ? ", background" : ""), slot.where);
    });
    children_.for_each([&](int pid, int fd) {
        Text<192> line("child ");
        sink(line.append(pid).append(" by fd ").append(fd).view());
    });
    const Instant at = poller_.now();
    timers_.for_each([&](TimerId id, const detail::TimerRecord& record) {
        const bool background = (record.flags & detail::TimerRecord::background) != 0;
        Text<192> line(record.period_ns != 0 ? "periodic timer" : "timer");
        const Instant deadline = timers_.deadline(id);
        if (deadline == Instant::max()) {
            line.append(": never");
        } else {
            line.append(" in ").append(static_cast<long long>((deadline - at).ns() / 1000000));
            line.append(" ms");
        }
        say(line.append(background ? ", background" : ""), record.where);
    });
    if (queue_->has_work()) sink(std::string_view("tasks: waiting"));
    if (queue_->has_foreground()) sink(std::string_view("remotes: in use"));
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/connection_options.hpp

// How connections behave, and what they count.

#include <stddef.h>
#include <stdint.h>

namespace rondo::inline RONDO_ABI {

/// The same for all connections of a group.
struct ConnectionOptions {
    /// Above this many unsent bytes a connection is full, until they have fallen to the low-water
    /// mark.
    size_t high_water = 1024 * 1024;
    size_t low_water = a_quarter;
    /// A connection with more unsent bytes is ended with ENOBUFS: others may send to it what it
    /// never reads. 0: no limit. It lowers a high-water mark that is above it. Whatever ends a
    /// connection with unsent bytes resets it.
    size_t unsent_max = 0;
    /// A connection whose handler leaves more bytes than this unconsumed is ended with EMSGSIZE.
    /// That counts what it leaves because it paused: at least the longest message and one read of
    /// the loop's buffer, 256 KiB.
    size_t unconsumed_max = 1024 * 1024;

    Duration idle_timeout = never;                  ///< nothing moved in either direction
    Duration read_timeout = never;                  ///< nothing came, although it was reading
    Duration write_timeout = never;                 ///< bytes wait, and none could be sent
    Duration close_timeout = Duration::seconds(5);  ///< close() to the end; then it is aborted

    /// TCP_NODELAY: set to this, on or off, on every TCP socket that is adopted, and on those that
    /// a Server listens on.
    bool no_delay = true;
    bool pause_if_full = true;  ///< read no more while full of what on_data has sent

    static constexpr size_t a_quarter = SIZE_MAX;  ///< as low_water: of the high-water mark
};

/// What a connection has done so far.
struct ConnectionCounters {
    uint64_t received = 0;  ///< bytes
    uint64_t sent = 0;      ///< bytes
    Instant last_received;  ///< on the clock of EventLoop::now()
    Instant last_sent;
};

/// Names a connection, and is harmless when it is gone. The default names none.
struct ConnectionHandle {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(ConnectionHandle, ConnectionHandle) noexcept = default;
};

/// The state of connections that have none of their own.
struct NoState {};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/transport.hpp

// Transport: how the bytes of a connection get onto its descriptor and off it. Plain hands them to
// the socket; one for TLS keeps its session here, and may need to write in order to read, or to
// read in order to write. A connection asks it what it waits for whenever a call would block.

#include <concepts>
#include <cstddef>
#include <span>

namespace rondo::inline RONDO_ABI {

/// One object per connection, copied from the one that adopt() is given. `read` and `write` may
/// move less than they are asked to; EAGAIN means "again when what read_needs(), or write_needs(),
/// names is ready". `finish` tells the peer that no more will come (EAGAIN: again later), after
/// which writing is over. `short_reads_drain` says that a read which filled less than it was given
/// has emptied the descriptor, that a write which took less than it was offered has filled it, and
/// that it hides no bytes of its own.
template <class T, class Sockets>
concept Transport = std::copy_constructible<T> &&
                    requires(T& transport, Sockets& sockets, int fd, std::span<std::byte> in,
                             std::span<const ConstBuffer> parts) {
                        { transport.read(sockets, fd, in) } -> std::same_as<IoResult>;
                        { transport.write(sockets, fd, parts) } -> std::same_as<IoResult>;
                        { transport.finish(sockets, fd) } -> std::same_as<IoResult>;
                        { transport.read_needs() } -> std::same_as<Interest>;
                        { transport.write_needs() } -> std::same_as<Interest>;
                        { T::short_reads_drain } -> std::convertible_to<bool>;
                    };

/// The bytes as they are.
struct Plain {
    static constexpr bool short_reads_drain = true;

    template <class Sockets>
    static IoResult read(Sockets& sockets, int fd, std::span<std::byte> in) noexcept {
        return sockets.read(fd, in);
    }
    template <class Sockets>
    static IoResult write(Sockets& sockets, int fd, std::span<const ConstBuffer> parts) noexcept {
        if (parts.size() != 1) return sockets.writev(fd, parts);
        return sockets.write(fd, {static_cast<const std::byte*>(parts[0].data), parts[0].size});
    }
    template <class Sockets>
    static IoResult finish(Sockets& sockets, int fd) noexcept {
        const auto done = sockets.shutdown(fd, Shutdown::write);
        return {0, done ? 0 : done.error().code()};
    }
    static constexpr Interest read_needs() noexcept { return Interest::read; }
    static constexpr Interest write_needs() noexcept { return Interest::write; }
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/connection.hpp

// Connection: a buffered stream over a descriptor. It lives in a Connections group, which holds the
// handlers; its own size is all that an idle one costs, because reading uses a buffer of the loop
// and writing is queued only when the kernel takes no more.
//
// Reading: on_data is shown what has come and says how much of it was used; the rest is kept and
// shown again, with what comes next. Writing: outside of its handlers send() tries the descriptor
// at once; what a handler sends leaves in one system call when it returns. It is registered once,
// edge-triggered where the poller can; write interest joins for good when the kernel first takes
// less than all. While its replies are above the high-water mark it reads no more by itself.
//
// How it reads and ends is in connection_io.hpp, how it writes in connection_write.hpp.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

namespace rondo::inline RONDO_ABI {

template <class Loop, class State = NoState, class T = Plain>
class Connections;

/// Neither copied nor moved; made by Connections::adopt or a Server.
///
/// Lifetime: until on_close has returned. Keep its handle(), not its address; a handler may use the
/// one that it is given, also after it has closed it. Threads: loop thread.
template <class Loop, class State = NoState, class T = Plain>
class alignas(64) Connection {
public:
    using Group = Connections<Loop, State, T>;
    using M = typename Loop::MemoryPolicy;

    /// For Connections only.
    Connection(Group& group, int fd, const T& transport);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { queue_.clear(group_.pool_); }

    /// The user's own value, made with the connection and destroyed after on_close.
    State& state() noexcept { return state_; }
    ConnectionHandle handle() const noexcept { return {key_}; }
    /// The descriptor, for its options; the connection closes it.
    int fd() const noexcept { return fd_; }
    /// Whom it is connected with.
    /// Errors: what the system says; EBADF once it has ended.
    Result<Endpoint> peer() {
        if (dead_) return Error::on_fd(EBADF, "peer", fd_);
        return sockets().peer(fd_);
    }
    Group& group() noexcept { return group_; }
    T& transport() noexcept { return transport_; }

    /// Sends a copy of `bytes`, in order. True doesn't mean that there is room: whoever sends
    /// unasked looks at full(), or sets unsent_max. False: it can't send any more (closed, ended,
    /// or broken); or memory is out or unsent_max was passed, which ends it.
    /// Cost: outside of its handlers one system call if nothing is queued; inside, none. What
    /// on_data sends of the very bytes that it is shown is not even copied.
    bool send(std::span<const std::byte> bytes);
    bool send(std::string_view text) { return send(std::as_bytes(std::span(text))); }
    /// Sends a string or vector that is moved in, without a copy; small ones are copied. It ends
    /// when its last byte has left, or when the connection does; its destructor may send and abort.
    template <OwnsBytes Owner>
    bool send(Owner&& owner);
    /// Sends several pieces in one system call, such as a header and what it announces. They are
    /// copied; outside of its handlers all but the last.
    bool send_parts(std::initializer_list<std::span<const std::byte>> parts);
    /// Sends what is queued now, in a handler too, as far as the kernel takes it.
    void flush();

    /// Reads no more until resume(). Bytes that on_data has left are shown again then.
    void pause() noexcept;
    void resume() noexcept;
    bool paused() const noexcept { return paused_; }

    /// Half-close: sends what is queued, and then tells the peer that no more will come. It goes on
    /// reading, and ends when the peer has finished too. What isn't a socket ends at once then.
    void end();
    /// Sends what is queued, tells the peer, waits until it has finished too, and ends. What still
    /// comes is discarded; after close_timeout it is aborted. on_data isn't called any more.
    void close();
    /// Ends it now: what is queued is lost, and a TCP peer is told by a reset. on_close is told
    /// `reason`, an errno value.
    void abort(int reason = ECONNABORTED);

    /// For an on_data that takes its bytes message by message: so many of them are used, whatever
    /// comes of the next. One that throws without having said so has used them all.
    void used(size_t bytes) noexcept { used_ = bytes; }
    /// For an on_data that takes its bytes message by message: false when the next one should wait
    /// or is no longer wanted, because the connection was paused, closed, or is full of replies.
    /// What on_data hasn't used then is shown again when it is time, or dropped.
    bool wants_more() const noexcept {
        const bool waits = replied_ && options().pause_if_full;
        return !dead_ && !closing_ && !paused_ && (!waits || unsent() <= options().high_water);
    }
    /// True while send() can work.
    bool can_send() const noexcept { return !dead_ && !ending_ && broken_ == 0; }
    /// True from close() on.
    bool closing() const noexcept { return closing_; }
    /// True from above the high-water mark until on_drain.
    bool full() const noexcept { return full_; }
    size_t unsent() const noexcept { return queue_.size() + borrowed_.size(); }
    size_t unconsumed() const noexcept { return rest_.size(); }
    const ConnectionCounters& counters() const noexcept { return counters_; }

    /// Whether it keeps run() going. It does.
    void set_background(bool background) noexcept {
        if (!dead_) loop().background(fd_, background);
    }

private:
    friend Group;
    struct Running;
    struct Shown;
    static constexpr int reads_per_turn = 4;
    static constexpr size_t parts_max = 64;
    static constexpr size_t copied_below =
        512;  // moved-in owners: a piece costs more than the copy
    static constexpr bool edge = Loop::Poller::traits.edge;
    static constexpr Interest read_interest = edge && Loop::Poller::traits.priority
                                                  ? Interest::read | Interest::priority
                                                  : Interest::read;

    Loop& loop() noexcept { return group_.loop_; }
    auto& sockets() noexcept { return group_.loop_.sockets(); }
    const ConnectionOptions& options() const noexcept { return group_.options_; }

    void opened();
    void ready(Readiness readiness);
    void work();
    void conclude();
    void watch_for();

    void write_out();
    IoResult write_queue(const ConstBuffer& behind, size_t& asked);
    void tell_drained();
    bool sent();
    void settle();
    bool enqueue(std::span<const std::byte> bytes);
    void keep_borrowed();
    void mark();
    void broken(int code);
    void finish_writing();

    bool wants_read() const noexcept;
    void read_in();
    void show(std::span<const std::byte> fresh);
    void show_what_is_left() noexcept;
    void read_ended();

    void die(int code, const char* call) noexcept;
    Error reason() const noexcept;
    void set_timer();
    void expired();
    Instant deadline(const char*& call) const noexcept;

    // What every message touches comes first.
    Group& group_;
    int fd_;
    Interest can_ = Interest::write;  // readiness that no call has used up
    bool listed_ = false;
    uint16_t depth_ = 0;       // of its handlers on the stack
    bool counted_ = false;     // by the listener that has accepted it
    bool joined_ = false;      // write interest is there
    bool reads_on_ = true;     // a short read may have something behind it
    bool paused_ = false;      // by the user
    bool full_ = false;        // above the high-water mark
    bool choked_ = false;      // so much so by its replies that it doesn't read
    bool drained_ = false;     // on_drain is due
    bool show_again_ = false;  // on_data is due with what it has left
    bool read_ended_ = false;
    bool ending_ = false;  // no more is sent after the queue
    bool write_ended_ = false;
    bool closing_ = false;
    bool replied_ = false;  // on_data has sent something, this time
    bool dead_ = false;     // the descriptor is closed, on_close is due
    int broken_ = 0;        // what a write has failed with
    SendQueue<M> queue_;
    std::span<const std::byte> borrowed_;  // behind the queue: bytes that on_data is looking at
    std::span<const std::byte> shown_;     // what on_data is looking at
    size_t used_ = 0;                      // of what it is looking at
    Buffer<M> rest_;                       // what it has left
    ConnectionCounters counters_;
    Instant read_since_;                    // it has been reading, and nothing came
    Instant write_since_ = Instant::max();  // bytes have been waiting

    TimerId timer_;
    Instant timer_at_ = Instant::max();
    Instant close_at_ = Instant::max();
    Connection* previous_ = nullptr;  // in the group's list of those that have something to do
    Connection* next_ = nullptr;
    SlabKey key_;
    const char* end_call_ = "";
    int end_code_ = 0;  // once dead: what it ended with
    [[no_unique_address]] T transport_;
    [[no_unique_address]] State state_;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/connections.hpp

// Connections: a group of connections with the same handlers, limits and kind of state. It owns
// them behind handles that are harmless when a connection is gone, so that nobody needs a map from
// descriptors to objects. A Server is such a group with a listener; a client is one with a
// Connector.

#include <concepts>
#include <type_traits>
#include <utility>

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

// ---- rondo/net/connection_io.hpp

// How a connection reads and ends, and what holds its handlers together.
//
// Whatever calls it, an event, the group's service or a timer, goes through work() or a Running and
// ends in conclude(): handlers only leave notes (bytes in the queue, flags), and what follows from
// them is done when they have returned. So a handler may do anything to its own connection.

#include <errno.h>

namespace rondo::inline RONDO_ABI {

/// While one of its handlers may be running. If that throws, the service goes on where it stopped.
template <class Loop, class State, class T>
struct Connection<Loop, State, T>::Running {
    Connection& self;
    bool returned = false;

    explicit Running(Connection& connection) noexcept : self(connection) {
        ++self.depth_;
        ++self.group_.running_;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
        --self.depth_;
        --self.group_.running_;
        if (!returned) self.group_.enlist(self);
    }
};

/// While on_data looks at bytes. Those of them that it sends need not be copied, those that it
/// doesn't use are kept. What it leaves when it throws is shown again.
template <class Loop, class State, class T>
struct Connection<Loop, State, T>::Shown {
    Connection& self;
    const std::span<const std::byte> bytes;
    const bool kept;  // they are in rest_
    bool returned = false;

    explicit Shown(Connection& connection, std::span<const std::byte> fresh) noexcept
        : self(connection),
          bytes(connection.rest_.empty() ? fresh : connection.rest_.data()),
          kept(!connection.rest_.empty()) {
        self.shown_ = bytes;
        self.used_ = bytes.size();
        self.replied_ = false;
    }
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;
    ~Shown() {
        self.shown_ = {};
        self.keep_borrowed();
        const size_t used = self.used_;
        if (kept) {
            self.rest_.consume(used);
        } else if (used < bytes.size() && !self.rest_.append(bytes.subspan(used))) {
            self.die(ENOMEM, "read");
        }
        self.show_again_ |= !returned && used < bytes.size();
    }
};

template <class Loop, class State, class T>
Connection<Loop, State, T>::Connection(Group& group, int fd, const T& transport)
    : group_(group), fd_(fd), transport_(transport), state_() {
    counters_.last_received = counters_.last_sent = read_since_ = group.loop_.now();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::opened() {
    {
        Running running(*this);
        if (group_.open_) group_.open_(*this);
        write_out();
        mark();
        running.returned = true;
    }
    conclude();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::ready(Readiness readiness) {
    constexpr Readiness over = Readiness::read_closed | Readiness::hangup | Readiness::error;
    constexpr Readiness in = Readiness::readable | Readiness::priority;
    if (any(readiness, in | over)) can_ |= Interest::read;
    if (any(readiness, Readiness::writable | Readiness::hangup | Readiness::error)) {
        can_ |= Interest::write;
    }
    if (any(readiness, over | Readiness::priority)) reads_on_ = true;
    work();
}

// In a nested turn: what runs already looks at the flags again when its handler returns.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::work() {
    if (depth_ != 0) return;
    if (!dead_) {
        Running running(*this);
        write_out();
        tell_drained();
        const bool again = std::exchange(show_again_, false) && !rest_.empty();
        if (again && wants_read() && !closing_) show({});
        read_in();
        running.returned = true;
    }
    conclude();
}

// The connection may be gone afterwards.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::conclude() {
    if (dead_) return group_.bury(*this);
    watch_for();
    set_timer();
}

// Edge-triggered, interest changes once at most; otherwise it follows what is wanted. What could be
// done already, because a nested turn was told so, is due.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::watch_for() {
    Interest wanted = Interest::none;
    if (wants_read()) wanted |= transport_.read_needs();
    if (unsent() != 0 || (ending_ && !write_ended_)) wanted |= transport_.write_needs();
    const bool due = drained_ || (show_again_ && wants_read());
    if (due || any(wanted, can_)) group_.enlist(*this);
    if constexpr (edge) {
        const bool blocked = any(wanted, Interest::write) && !any(can_, Interest::write);
        if (!blocked || joined_) return;
        joined_ = true;
        loop().modify(fd_, read_interest | Interest::write);
    } else {
        loop().modify(fd_, wanted);
    }
}

// Reading -----------------------------------------------------------------------------------------

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::wants_read() const noexcept {
    if (dead_ || read_ended_) return false;
    if (closing_ || broken_ != 0) return true;
    return !paused_ && !choked_;
}

// A read that fills less than it was given has emptied a TCP socket, and the next bytes are a new
// edge (epoll(7), question 9). Not so if the end or urgent data, at which a read stops, was told of
// together with the bytes; nor of other streams: a terminal gives line by line, a Unix socket stops
// at descriptors that are passed along. They are read until there is nothing, as is one that can't
// write any more. What on_data has left and is to be shown again comes before the next read, which
// may be the end. What is open for writing only can't be read: the write end of a pipe is woken
// when its reader has gone, but a terminal by what is typed, so that must be open for both.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::read_in() {
    for (int i = 0; wants_read() && !show_again_ && any(can_, transport_.read_needs()); ++i) {
        if (i == reads_per_turn) return group_.enlist(*this);
        const typename detail::Scratch<M>::Lease lease(loop().scratch());
        const auto buffer = lease.span();
        if (buffer.empty()) return die(ENOMEM, "read");
        const IoResult got = transport_.read(sockets(), fd_, buffer);
        if (got.would_block()) {
            can_ &= ~transport_.read_needs();
            if (broken_ != 0) die(broken_, "write");
            return;
        }
        if (got.code == EBADF) return die(EPIPE, "write");
        if (!got) return die(got.code, "read");
        if (got.bytes == 0) return read_ended();
        const bool drained = T::short_reads_drain && got.bytes < buffer.size();
        if (drained && !reads_on_ && broken_ == 0) can_ &= ~Interest::read;
        counters_.received += got.bytes;
        counters_.last_received = read_since_ = loop().now();
        if (!closing_) show(buffer.first(got.bytes));
        tell_drained();
    }
}

// Only what on_data has sent stops the reading: if both sides stopped for what else they send, each
// could wait for the other to read.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::show(std::span<const std::byte> fresh) {
    if (!rest_.empty() && !rest_.append(fresh)) return die(ENOMEM, "read");
    bool waits = false;
    {
        Shown shown(*this, fresh);
        if (group_.data_) used_ = group_.data_(*this, shown.bytes);
        RONDO_ASSERT(used_ <= shown.bytes.size(), "on_data has used more bytes than it was shown");
        shown.returned = true;
        const bool left = full_ && used_ < shown.bytes.size();
        waits = replied_ && options().pause_if_full && (left || unsent() > options().high_water);
        write_out();
    }
    mark();
    choked_ |= waits && full_;
    if (rest_.size() > options().unconsumed_max) die(EMSGSIZE, "read");
}

// Before the next bytes. While on_data is still looking at them, what it will leave isn't known.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::show_what_is_left() noexcept {
    show_again_ |= !rest_.empty() || !shown_.empty();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::read_ended() {
    read_ended_ = true;
    if (broken_ != 0) return die(broken_, "write");
    if (write_ended_) return die(0, "close");
    if (!closing_ && group_.end_) {
        group_.end_(*this);
    } else {
        close();
    }
    write_out();
    mark();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::pause() noexcept {
    paused_ = true;
    if (dead_) return;
    if (broken_ != 0) return die(broken_, "write");
    if (depth_ == 0) watch_for();
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::resume() noexcept {
    if (dead_ || !std::exchange(paused_, false)) return;
    read_since_ = loop().now();
    show_what_is_left();
    group_.enlist(*this);
}

// Ending ------------------------------------------------------------------------------------------

template <class Loop, class State, class T>
void Connection<Loop, State, T>::end() {
    if (!can_send()) return;
    ending_ = true;
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::close() {
    if (dead_ || std::exchange(closing_, true)) return;
    if (broken_ != 0) return die(broken_, "write");
    ending_ = true;
    close_at_ = loop().now() + options().close_timeout;
    if (write_ended_ && read_ended_) return die(0, "close");
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::abort(int reason) {
    if (dead_) return;
    static_cast<void>(sockets().set_linger_reset(fd_, true));
    die(reason, "abort");
}

// The descriptor goes at once; on_close comes when no handler of it is running. A peer that doesn't
// get all that was sent must not take it for all.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::die(int code, const char* call) noexcept {
    if (std::exchange(dead_, true)) return;
    end_code_ = code;
    end_call_ = call;
    if (unsent() != 0 || code == ENOMEM) static_cast<void>(sockets().set_linger_reset(fd_, true));
    loop().close(fd_);
    loop().cancel(std::exchange(timer_, {}));
    queue_.clear(group_.pool_);
    borrowed_ = {};
    if (depth_ == 0) group_.enlist(*this);
}

template <class Loop, class State, class T>
Error Connection<Loop, State, T>::reason() const noexcept {
    return end_code_ == 0 ? Error() : Error::on_fd(end_code_, end_call_, fd_);
}

// Time --------------------------------------------------------------------------------------------

// One timer for all that has a limit. Activity only notes the time; the timer looks when it fires
// whether its time has really come.
template <class Loop, class State, class T>
Instant Connection<Loop, State, T>::deadline(const char*& call) const noexcept {
    Instant least = close_at_;
    call = "close";
    const auto limit = [&](Instant at, const char* name) {
        if (at >= least) return;
        least = at;
        call = name;
    };
    if (unsent() != 0) limit(write_since_ + options().write_timeout, "write");
    if (closing_) return least;
    if (wants_read()) limit(read_since_ + options().read_timeout, "read");
    const Instant last = counters_.last_received > counters_.last_sent ? counters_.last_received
                                                                       : counters_.last_sent;
    limit(last + options().idle_timeout, "idle");
    return least;
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::set_timer() {
    if (!group_.timed_ && !closing_) return;
    if (unsent() != 0 && write_since_ == Instant::max()) write_since_ = loop().now();
    const char* call = nullptr;
    const Instant at = deadline(call);
    if (at == Instant::max() || (timer_ && at >= timer_at_)) return;
    timer_at_ = at;
    if (timer_) {
        loop().rearm(timer_, at);
        return;
    }
    timer_ = loop().at(at, [this] { expired(); });
    if (!timer_) return die(ENOMEM, "timer");
    loop().background(timer_, true);  // the descriptor keeps run() going, or doesn't
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::expired() {
    const char* call = nullptr;
    timer_at_ = deadline(call);
    if (timer_at_ > loop().now()) {
        if (timer_at_ == Instant::max()) timer_ = {};
        if (timer_) loop().rearm(timer_, timer_at_);
        return;
    }
    if (closing_) static_cast<void>(sockets().set_linger_reset(fd_, true));
    die(ETIMEDOUT, call);
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/connection_write.hpp

// How a connection writes: what is sent goes behind the queue, and leaves in as few system calls as
// can be. Bytes that on_data sends of those that it looks at are borrowed: they leave from where
// they are, and are copied into the queue only if the kernel does not take them before it returns.

#include <errno.h>

namespace rondo::inline RONDO_ABI {

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::send(std::span<const std::byte> bytes) {
    if (!can_send()) return false;
    if (bytes.empty()) return true;
    const bool own = bytes.data() >= shown_.data() &&
                     bytes.data() + bytes.size() <= shown_.data() + shown_.size();
    if (own && borrowed_.empty()) {
        borrowed_ = bytes;
    } else if (own && borrowed_.data() + borrowed_.size() == bytes.data()) {
        borrowed_ = {borrowed_.data(), borrowed_.size() + bytes.size()};
    } else if (depth_ == 0 && unsent() == 0 && any(can_, transport_.write_needs())) {
        borrowed_ = bytes;
        write_out();
        keep_borrowed();
    } else if (!enqueue(bytes)) {
        return false;
    }
    return sent();
}

template <class Loop, class State, class T>
template <OwnsBytes Owner>
bool Connection<Loop, State, T>::send(Owner&& owner) {
    const auto& view = std::as_const(owner);
    const auto bytes = std::as_bytes(std::span(view.data(), static_cast<size_t>(view.size())));
    if (bytes.size() < copied_below) return send(bytes);
    if (!can_send()) return false;
    keep_borrowed();
    if (!queue_.append_owned(static_cast<Owner&&>(owner))) {
        die(ENOMEM, "send");
        return false;
    }
    if (depth_ == 0) write_out();
    return sent();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::send_parts(
    std::initializer_list<std::span<const std::byte>> parts) {
    if (!can_send()) return false;
    for (const auto& part : parts) {
        const bool last = &part == parts.end() - 1;
        if (last && depth_ == 0 && borrowed_.empty() && any(can_, transport_.write_needs())) {
            borrowed_ = part;
            write_out();
            keep_borrowed();
        } else if (!enqueue(part)) {
            return false;
        }
    }
    return sent();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::sent() {
    replied_ |= !shown_.empty();
    settle();
    return can_send();
}

// What follows from bytes that were queued. Outside of the handlers nobody else looks after it.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::settle() {
    mark();
    if (depth_ == 0 && !dead_) {
        watch_for();
        set_timer();
    }
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::flush() {
    if (dead_) return;
    write_out();
    keep_borrowed();
    settle();
}

// Behind the queue go the borrowed bytes, from where they are.
template <class Loop, class State, class T>
IoResult Connection<Loop, State, T>::write_queue(const ConstBuffer& behind, size_t& asked) {
    ConstBuffer parts[parts_max];
    size_t count = queue_.gather({parts, parts_max});
    if (count < parts_max && behind.size != 0) parts[count++] = behind;
    asked = 0;
    for (size_t i = 0; i < count; ++i) asked += parts[i].size;
    return transport_.write(sockets(), fd_, {parts, count});
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::write_out() {
    if (dead_) return;
    while (unsent() != 0 && any(can_, transport_.write_needs())) {
        const ConstBuffer part{borrowed_.data(), borrowed_.size()};
        size_t asked = part.size;
        const IoResult wrote = queue_.empty() ? transport_.write(sockets(), fd_, {&part, 1})
                                              : write_queue(part, asked);
        if (wrote.would_block()) {
            can_ &= ~transport_.write_needs();
            break;
        }
        if (!wrote) return broken(wrote.code);
        counters_.sent += wrote.bytes;
        counters_.last_sent = loop().now();
        write_since_ = Instant::max();
        const size_t queued = wrote.bytes < queue_.size() ? wrote.bytes : queue_.size();
        borrowed_ = borrowed_.subspan(wrote.bytes - queued);
        if (wrote.bytes < asked && T::short_reads_drain) can_ &= ~Interest::write;
        queue_.consume(group_.pool_, queued);  // last: the end of an owner may send, or abort
    }
    if (full_ && unsent() <= options().low_water) {
        if (choked_) read_since_ = loop().now();
        full_ = choked_ = false;
        drained_ = true;
        show_what_is_left();
    }
    if (ending_ && unsent() == 0) finish_writing();
}

// Once: a handler that fills what the kernel takes at once would keep the others waiting.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::tell_drained() {
    if (dead_ || !std::exchange(drained_, false)) return;
    if (group_.drain_) group_.drain_(*this);
    write_out();
    mark();
}

template <class Loop, class State, class T>
bool Connection<Loop, State, T>::enqueue(std::span<const std::byte> bytes) {
    keep_borrowed();
    if (!dead_ && queue_.append(group_.pool_, bytes)) return true;
    die(ENOMEM, "send");
    return false;
}

template <class Loop, class State, class T>
void Connection<Loop, State, T>::keep_borrowed() {
    const auto bytes = std::exchange(borrowed_, {});
    if (bytes.empty() || dead_) return;
    if (!queue_.append(group_.pool_, bytes)) die(ENOMEM, "send");
}

// The marks. In a handler the kernel is asked first: it may take more than there seems to be.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::mark() {
    if (depth_ != 0 && unsent() > options().high_water) write_out();
    if (dead_ || unsent() <= options().high_water) return;
    full_ = true;
    drained_ = false;
    if (options().unsent_max != 0 && unsent() > options().unsent_max) die(ENOBUFS, "send");
}

// The peer reads no longer, but what it sent before may still be there: it is read to its end.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::broken(int code) {
    broken_ = code;  // first: the end of an owner may try to send
    borrowed_ = {};
    full_ = choked_ = drained_ = false;
    queue_.clear(group_.pool_);
    if (paused_ || read_ended_ || closing_) return die(code, "write");
    can_ |= Interest::read;
    show_what_is_left();
    group_.enlist(*this);
}

// What isn't a socket can't be closed by half: its peer is told by the end. A socket that fails
// here was reset (ENOTCONN, and the socket may know why), or is broken in another way.
template <class Loop, class State, class T>
void Connection<Loop, State, T>::finish_writing() {
    if (write_ended_ || dead_ || broken_ != 0) return;
    const IoResult done = transport_.finish(sockets(), fd_);
    if (done.would_block()) {
        can_ &= ~transport_.write_needs();
        return;
    }
    write_ended_ = true;
    if (!done && done.code != ENOTSOCK) {
        const int why = done.code == ENOTCONN ? sockets().error(fd_) : 0;
        return broken(why != 0 ? why : done.code);
    }
    if (read_ended_ || !done) die(0, "close");
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/connector.hpp

// Connector: makes one connection, to whichever of several addresses answers first. The addresses
// are tried in turn, IPv6 and IPv4 alternating; the next one starts as soon as one has failed, or
// when nothing is decided for a while (RFC 8305, "Happy Eyeballs"). If all fail it may begin again
// after a pause that doubles. What it hands over is a connected descriptor, for
// Connections::adopt().
//
// It refuses to resolve names, that is a Resolver's work, and to make two connections at a time:
// have a Connector for each.

#include <stddef.h>

#include <span>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// How a Connector tries. Rounds try the addresses that connect() was given, and each connect()
/// begins with the shortest pause: who reconnects when a connection has ended sees to a pause, and
/// resolves the name again.
struct ConnectorOptions {
    Duration timeout = Duration::seconds(30);        ///< for everything, further rounds included
    Duration stagger = Duration::milliseconds(250);  ///< then the next address is tried beside
    size_t rounds = 1;  ///< how often all addresses are tried; 0: until the timeout
    Duration retry_min = Duration::milliseconds(100);  ///< the pause before the second round
    Duration retry_max = Duration::seconds(10);        ///< pauses double up to this
    Endpoint source{};                                 ///< bind to it first; none by default
    bool best_effort_source = false;                   ///< if it can't be bound, do without it
};

namespace detail {

struct ConnectRule {
    template <class F>
    static constexpr bool check() {
        static_assert(CallableWith<std::decay_t<F>, Result<int>>,
                      "a connector's handler is called as f(rondo::Result<int> fd)");
        return CallableWith<std::decay_t<F>, Result<int>>;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watches point at it. While it connects it keeps run() going.
///
/// Lifetime: must not outlive the loop; its end is a cancel(). The handler may destroy it.
/// Threads: loop thread.
template <class Loop>
class Connector {
public:
    using Handler =
        CheckedHandler<void(Result<int>), detail::ConnectRule, typename Loop::MemoryPolicy>;

    explicit Connector(Loop& loop, const ConnectorOptions& options = {})
        : loop_(loop), options_(options), next_(loop.timer()), deadline_(loop.timer()) {
        RONDO_ASSERT(options.rounds == 1 || options.retry_min > Duration(),
                     "retry_min must be above 0 if there are several rounds");
    }
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;
    ~Connector() { cancel(); }

    /// Begins to connect. `on_done(fd)` is called once, never from within this call: with a
    /// connected descriptor, which is then the handler's to adopt or close, or with the error of
    /// the attempt that failed last; ETIMEDOUT if the timeout has come. It may connect again.
    /// Lifetime: the addresses are copied.
    /// Errors: ENOMEM, EINVAL without an address; then on_done isn't called.
    template <class F>
    Result<void> connect(std::span<const Endpoint> addresses, F&& on_done) {
        RONDO_ASSERT(!busy(), "a Connector makes one connection at a time: cancel() first");
        if (addresses.empty()) return Error(EINVAL, "connect", "no address");
        Handler handler(static_cast<F&&>(on_done));
        if (!handler || !prepare(addresses)) return Error(ENOMEM, "connect", addresses[0].text());
        done_ = std::move(handler);
        try_next();
        return {};
    }
    /// With a single address.
    template <class F>
    Result<void> connect(const Endpoint& address, F&& on_done) {
        return connect(std::span(&address, 1), static_cast<F&&>(on_done));
    }

    /// Ends what was begun, without calling its handler. Without anything begun it does nothing.
    void cancel() noexcept {
        clear();
        const Handler dropped = std::move(done_);
    }

    /// True from connect() until its handler is called.
    bool busy() const noexcept { return static_cast<bool>(done_); }

private:
    struct Attempt {
        int fd;
        size_t address;
    };

    bool prepare(std::span<const Endpoint> addresses) {
        if (!addresses_.resize(addresses.size()) || !attempts_.reserve(addresses.size())) {
            return false;
        }
        addresses_.truncate(addresses.size());
        alternate(addresses);
        tried_ = 0;
        round_ = 1;
        pause_ = options_.retry_min;
        if (!next_.at(Instant::max(), [this] { go_on(); })) return false;
        if (options_.timeout == never) return true;
        if (deadline_.after(options_.timeout, [this] { expired(); })) return true;
        next_.cancel();
        return false;
    }

    // The order that was given, but families alternate (RFC 8305, section 4): a family that doesn't
    // work must not keep the other waiting.
    void alternate(std::span<const Endpoint> from) noexcept {
        size_t next[2] = {0, 0};
        const auto seek = [&](bool other) {
            size_t& at = next[other];
            while (at < from.size() && (from[at].family() != from[0].family()) != other) ++at;
            return at < from.size();
        };
        bool other = false;
        for (Endpoint& address : addresses_) {
            if (!seek(other)) other = !other;
            seek(other);
            address = from[next[other]++];
            other = !other;
        }
    }

    void go_on() {
        if (over_) return finish(last_);
        try_next();
    }

    void expired() {
        const Endpoint& latest = addresses_[tried_ == 0 ? 0 : tried_ - 1];
        finish(Error(ETIMEDOUT, "connect", latest.text()));
    }

    // Starts with the next address; those that fail at once are passed over. Each way ends with
    // next_ armed: it reports a failure too, because connect() must not call the handler.
    void try_next() {
        while (tried_ < addresses_.size()) {
            if (!start(tried_++)) continue;
            const bool more = tried_ < addresses_.size();
            next_.rearm(more ? options_.stagger : never);
            return;
        }
        if (!attempts_.empty()) {
            next_.rearm(Instant::max());
        } else if (options_.rounds == 0 || round_ < options_.rounds) {
            ++round_;
            tried_ = 0;
            next_.rearm(pause_);
            pause_ = pause_ + pause_ < options_.retry_max ? pause_ + pause_ : options_.retry_max;
        } else {
            over_ = true;
            next_.rearm(Instant::min());
        }
    }

    bool start(size_t address) {
        const Endpoint& to = addresses_[address];
        ConnectOptions how;
        how.source = options_.source ? &options_.source : nullptr;
        how.best_effort_source = options_.best_effort_source;
        const auto fd = loop_.sockets().connect_to(to, how);
        if (!fd) {
            last_ = fd.error();
            return false;
        }
        const auto added = loop_.add(*fd, Interest::write,
                                     [this](int ready, Readiness how_so) { look(ready, how_so); });
        if (!added) {
            loop_.sockets().close(*fd);
            last_ = Error(added.error().code(), "connect", to.text());
            return false;
        }
        static_cast<void>(attempts_.push_back({*fd, address}));
        return true;
    }

    void look(int fd, Readiness readiness) {
        const int code = outcome(fd, readiness);
        if (code == EINPROGRESS) return;
        size_t at = 0;
        while (attempts_[at].fd != fd) ++at;
        const Attempt attempt = attempts_[at];
        attempts_[at] = attempts_[attempts_.size() - 1];
        attempts_.truncate(attempts_.size() - 1);
        if (code == 0) {
            loop_.remove(fd);
            return finish(fd);
        }
        loop_.close(fd);
        last_ = Error(code, "connect", addresses_[attempt.address].text());
        try_next();
    }

    // No pending error doesn't say that it is connected: only having a peer does. A socket that is
    // its own peer has met itself: a port of this host that nobody listens on, taken as the source
    // (both ends send their SYN, RFC 9293, section 3.5, "simultaneous connection").
    int outcome(int fd, Readiness readiness) {
        auto& sockets = loop_.sockets();
        if (const int code = sockets.error(fd)) return code;
        const auto peer = sockets.peer(fd);
        if (!peer) {
            const bool undecided = !any(readiness, Readiness::hangup | Readiness::error);
            return peer.error() == ENOTCONN && undecided ? EINPROGRESS : ECONNRESET;
        }
        if (!peer->is_ip()) return 0;
        const auto local = sockets.local(fd);
        return local && *local == *peer ? ECONNREFUSED : 0;
    }

    // The handler may destroy this.
    void finish(Result<int> result) {
        clear();
        Handler done = std::move(done_);
        done(std::move(result));
    }

    void clear() noexcept {
        next_.cancel();
        deadline_.cancel();
        over_ = false;
        for (const Attempt& attempt : attempts_) loop_.close(attempt.fd);
        attempts_.clear();
    }

    Loop& loop_;
    const ConnectorOptions options_;
    Handler done_;
    typename Loop::Timer next_;  // the next address or round, or the end
    typename Loop::Timer deadline_;
    Array<Endpoint, typename Loop::MemoryPolicy> addresses_;
    Array<Attempt, typename Loop::MemoryPolicy> attempts_;  // undecided
    size_t tried_ = 0;                                      // addresses, in this round
    size_t round_ = 0;
    Duration pause_;
    Error last_;
    bool over_ = false;  // all rounds have failed, which is to be told
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/framing.hpp

// Framing: turns a handler of messages into one of bytes, for Connections::on_data. A message ends
// with a delimiter, or begins with its length:
//
//     server.on_data(rondo::delimited("\n", [](auto& connection, std::string_view line) { ... }));
//
// Nothing is copied: a message is shown where it was received, and one that isn't complete stays
// with the connection. While that is paused, closed or full of replies, further messages wait or
// are dropped, as bytes would be. A handler that throws has had its message; the next come later.
//
// It refuses to keep anything per connection, so messages have a limit, above which the connection
// ends with EMSGSIZE. ConnectionOptions::unconsumed_max must exceed it by one read, 256 KiB.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo::inline RONDO_ABI {

/// See delimited().
template <class F>
class Delimited {
public:
    Delimited(std::string_view delimiter, F f, size_t longest)
        : delimiter_(delimiter), longest_(longest), f_(std::move(f)) {
        RONDO_ASSERT(!delimiter.empty(), "a delimiter has at least one byte");
    }

    template <class Connection>
    size_t operator()(Connection& connection, std::span<const std::byte> bytes) {
        static_assert(std::is_invocable_v<F&, Connection&, std::string_view>,
                      "a handler of delimited messages is called as f(connection, "
                      "std::string_view message)");
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        size_t used = 0;
        while (connection.wants_more()) {
            const size_t end = text.find(delimiter_, used);
            const bool whole = end != std::string_view::npos;
            if ((whole ? end : text.size()) - used > longest_) {
                connection.abort(EMSGSIZE);
            } else if (whole) {
                const std::string_view message = text.substr(used, end - used);
                used = end + delimiter_.size();
                connection.used(used);
                f_(connection, message);
                continue;
            }
            break;
        }
        return used;
    }

private:
    const std::string_view delimiter_;
    const size_t longest_;
    F f_;
};

/// A handler for on_data that calls `f(connection, std::string_view message)` with each message,
/// without its delimiter. What follows the last delimiter when the peer ends isn't a message;
/// Connection::unconsumed() tells in on_end that there is something.
/// Lifetime: the delimiter is a literal, or lives as long as the connections.
/// Cost: the incomplete message is searched again with each arrival.
template <class F>
Delimited<std::decay_t<F>> delimited(std::string_view delimiter, F&& f,
                                     size_t longest = size_t{64} * 1024) {
    return {delimiter, static_cast<F&&>(f), longest};
}
/// Of a string that is gone afterwards: the handler would keep nothing but a view of it.
template <OwnsBytes Temporary, class F>
void delimited(Temporary&& delimiter, F&& f, size_t longest = 0) = delete;

/// See length_prefixed().
template <size_t Width, std::endian Order, class F>
class LengthPrefixed {
    static_assert(Width >= 1 && Width <= 8, "a length takes one to eight bytes");

public:
    LengthPrefixed(F f, size_t longest) : longest_(longest), f_(std::move(f)) {}

    template <class Connection>
    size_t operator()(Connection& connection, std::span<const std::byte> bytes) {
        static_assert(std::is_invocable_v<F&, Connection&, std::span<const std::byte>>,
                      "a handler of length-prefixed messages is called as f(connection, "
                      "std::span<const std::byte> message)");
        size_t used = 0;
        while (connection.wants_more() && bytes.size() - used >= Width) {
            const uint64_t length = length_at(bytes.data() + used);
            if (length > longest_) {
                connection.abort(EMSGSIZE);
                break;
            }
            if (bytes.size() - used - Width < length) break;
            const auto message = bytes.subspan(used + Width, static_cast<size_t>(length));
            used += Width + message.size();
            connection.used(used);
            f_(connection, message);
        }
        return used;
    }

private:
    static uint64_t length_at(const std::byte* at) noexcept {
        uint64_t length = 0;
        for (size_t i = 0; i < Width; ++i) {
            const size_t from = Order == std::endian::big ? i : Width - 1 - i;
            length = length << 8 | std::to_integer<uint64_t>(at[from]);
        }
        return length;
    }

    const size_t longest_;
    F f_;
};

/// A handler for on_data that calls `f(connection, std::span<const std::byte> message)` with each
/// message, without the `Width` bytes before it that tell its length: most significant first,
/// unless Order says otherwise. A message of which the peer has sent a part when it ends isn't
/// told; Connection::unconsumed() tells in on_end that there is one.
template <size_t Width = 4, std::endian Order = std::endian::big, class F>
LengthPrefixed<Width, Order, std::decay_t<F>> length_prefixed(F&& f,
                                                              size_t longest = size_t{512} * 1024) {
    return {static_cast<F&&>(f), longest};
}

/// Sends a message as length_prefixed() expects it, whose own limit is `longest`. False: see
/// Connection::send(); or it is longer than a length of that width can tell, then nothing is sent.
template <size_t Width = 4, std::endian Order = std::endian::big, class Connection>
bool send_length_prefixed(Connection& connection, std::span<const std::byte> message) {
    static_assert(Width >= 1 && Width <= 8, "a length takes one to eight bytes");
    const uint64_t length = message.size();
    if constexpr (Width < 8) {
        if (length >> (8 * Width) != 0) return false;
    }
    std::byte prefix[Width];
    for (size_t i = 0; i < Width; ++i) {
        prefix[Order == std::endian::little ? i : Width - 1 - i] =
            static_cast<std::byte>(length >> (8 * i) & 0xff);
    }
    return connection.send_parts({prefix, message});
}
template <size_t Width = 4, std::endian Order = std::endian::big, class Connection>
bool send_length_prefixed(Connection& connection, std::string_view message) {
    return send_length_prefixed<Width, Order>(connection, std::as_bytes(std::span(message)));
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/listener.hpp

// Listener: accepts connections on one or several endpoints and hands over their descriptors. It
// takes a bounded number per turn, so that a storm of connects doesn't starve the connections that
// are there, and it stops asking while the user's limit of open connections is reached.
//
// When accepting fails, it neither spins nor gives up: it pauses, ever longer, and tries again. Out
// of descriptors, it first accepts and closes what waits, for which it has one in reserve: the
// client sees an end at once instead of a time-out.

#include <stddef.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// How a Listener behaves; the rest is in ListenOptions.
struct ListenerLimits {
    size_t accepts_per_turn = 16;
    size_t connections_max = 0;  ///< open at once, see Listener::closed(); 0: no limit
    Duration pause_min = Duration::milliseconds(10);  ///< after a failure; doubles each time
    Duration pause_max = Duration::seconds(1);
};

/// What a Listener has met so far.
struct ListenerCounters {
    size_t accepted = 0;  ///< handed over
    size_t shed = 0;      ///< accepted and closed at once, because descriptors were out
    size_t failures = 0;  ///< of accept; each is followed by a pause
};

/// What a Listener calls. It must take the descriptor, which is its to close.
template <class F>
concept AcceptCallable = detail::CallableWith<std::decay_t<F>, int, const Endpoint&>;

namespace detail {

struct AcceptRule {
    template <class F>
    static constexpr bool check() {
        static_assert(AcceptCallable<F>,
                      "a listener's handler is called as f(int fd, const rondo::Endpoint& peer)");
        return AcceptCallable<F>;
    }
};

struct AcceptErrorRule {
    template <class F>
    static constexpr bool check() {
        static_assert(CallableWith<std::decay_t<F>, const Error&>,
                      "a listener's error handler is called as f(const rondo::Error& error)");
        return CallableWith<std::decay_t<F>, const Error&>;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watches point at it.
/// While it listens it keeps run() going.
///
/// Lifetime: must not outlive the loop; its end closes the listening descriptors, not the accepted
/// ones.
/// Threads: loop thread.
template <class Loop>
class Listener {
public:
    using Handler =
        CheckedHandler<void(int, const Endpoint&), detail::AcceptRule, typename Loop::MemoryPolicy>;

    /// `on_accept(fd, peer)` is given every connection; the descriptor is then the user's to close.
    template <class F>
    Listener(Loop& loop, F&& on_accept, ListenerLimits limits = {})
        : loop_(loop),
          limits_(limits),
          on_accept_(static_cast<F&&>(on_accept)),
          resume_(loop.timer()) {
        RONDO_ASSERT(limits.accepts_per_turn != 0, "accepts_per_turn must be at least 1");
        RONDO_ASSERT(limits.pause_min > Duration(), "pause_min must be above 0");
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    [[gnu::cold]] ~Listener() {
        close();
        if (accepting_ != nullptr) accepting_->listener = nullptr;
    }

    /// Calls `f(const rondo::Error&)` each time that accepting fails, after which it pauses.
    /// Set it outside of its calls. It may close or destroy the listener.
    /// Errors: false if memory is out; the one before stands.
    template <class F>
    bool on_error(F&& f) {
        RONDO_ASSERT(!telling_, "set the error handler of a listener outside of its calls");
        ErrorHandler handler(static_cast<F&&>(f));
        if (!handler) return false;
        on_error_ = std::move(handler);
        return true;
    }

    /// Listens on one more endpoint.
    /// Errors: what the system says, named "listen 127.0.0.1:80"; ENOMEM.
    [[gnu::cold]] Result<void> listen(const Endpoint& at, const ListenOptions& options = {}) {
        if (!on_accept_ && accepting_ == nullptr) return Error(ENOMEM, "listen", at.text());
        auto fd = loop_.sockets().listen_on(at, options);
        if (!fd) return Error(fd.error().code(), "listen", at.text());
        const auto added = join(*fd, "listen");
        if (added) return added;
        loop_.sockets().close(*fd);
        return Error(added.error().code(), "listen", at.text());
    }

    /// Accepts on a listening socket that the user made or was given, and owns it from then on. It
    /// becomes non-blocking.
    /// Errors: EINVAL if it is no stream socket that listens; EBADF, ENOTSOCK, EEXIST, ENOMEM; the
    /// descriptor then stays the user's.
    [[gnu::cold]] Result<void> adopt(int fd) {
        if (!on_accept_ && accepting_ == nullptr) return Error::on_fd(ENOMEM, "adopt", fd);
        const auto listens = loop_.sockets().listens(fd);
        if (!listens) return Error::on_fd(listens.error().code(), "adopt", fd);
        if (!*listens) return Error::on_fd(EINVAL, "adopt", fd);
        const auto set = loop_.sockets().set_non_blocking(fd, true);
        if (!set) return Error::on_fd(set.error().code(), "adopt", fd);
        return join(fd, "adopt");
    }

    /// Adopts the sockets that the service manager has handed in (LISTEN_FDS), and tells how many.
    /// Errors: as adopt(), for the first that fails; those before it are adopted.
    [[gnu::cold]] Result<int> adopt_inherited() {
        auto count = loop_.poller().system().inherited_fds();
        for (int i = 0; count && i < *count; ++i) {
            const auto adopted = adopt(3 + i);
            if (!adopted) return adopted.error();
        }
        return count;
    }

    /// Where it listens; tells the port that was chosen for port 0.
    [[gnu::cold]] Result<Endpoint> local(size_t index = 0) {
        RONDO_ASSERT(index < fds_.size(), "local: call listen() first");
        return loop_.sockets().local(fds_[index]);
    }

    /// To be told when an accepted connection has been closed, if connections_max is set.
    void closed() noexcept {
        RONDO_ASSERT(open_ > 0, "closed() was called more often than connections were accepted");
        --open_;
        if (full_ && open_ < limits_.connections_max) {
            full_ = false;
            apply();
        }
    }

    /// Stops listening and closes its descriptors. on_accept isn't called again.
    [[gnu::cold]] void close() noexcept {
        resume_.cancel();
        paused_ = false;
        if (accepting_ != nullptr) accepting_->listening = -1;
        for (const int fd : fds_) loop_.close(fd);
        fds_.clear();
        if (spare_ >= 0) loop_.sockets().close(std::exchange(spare_, -1));
    }

    /// How many endpoints it listens on.
    size_t local_count() const noexcept { return fds_.size(); }
    /// Accepted, without those that closed() has told of.
    size_t open_connections() const noexcept { return open_; }
    /// True while it accepts nothing: at connections_max, or for a while after a failure.
    bool paused() const noexcept { return paused_ || full_; }
    const ListenerCounters& counters() const noexcept { return counters_; }

private:
    using ErrorHandler =
        CheckedHandler<void(const Error&), detail::AcceptErrorRule, typename Loop::MemoryPolicy>;

    [[gnu::cold]] Result<void> join(int fd, const char* call) {
        if (!fds_.reserve(fds_.size() + 1) || !ready_to_pause()) {
            return Error::on_fd(ENOMEM, call, fd);
        }
        auto added =
            loop_.add(fd, wanted(), [this](int listening, Readiness) { accept(listening); });
        if (!added) return Error::on_fd(added.error().code(), call, fd);
        static_cast<void>(fds_.push_back(fd));
        if (spare_ < 0) reserve_spare();
        return added;
    }

    Interest wanted() const noexcept { return paused() ? Interest::none : Interest::read; }

    [[gnu::cold]] void apply() noexcept {
        for (const int fd : fds_) loop_.modify(fd, wanted());
    }

    // on_accept may close the listener or destroy it: it is moved to the stack while it runs, and
    // put back if the listener is still there. A nested turn that finds it away leaves the rest for
    // later.
    struct Accepting {
        Listener* listener;
        int listening;  // -1 once the listener was closed: the number may be another's by now
        Handler handler = std::move(listener->on_accept_);

        Accepting(Listener& with, int fd) noexcept : listener(&with), listening(fd) {
            listener->accepting_ = this;
        }
        Accepting(const Accepting&) = delete;
        Accepting& operator=(const Accepting&) = delete;
        [[gnu::noinline]] ~Accepting() {
            if (listener == nullptr) return;
            listener->accepting_ = nullptr;
            listener->on_accept_ = std::move(handler);
        }
    };

    void accept(int listening) {
        if (!on_accept_) return;
        Accepting accepting(*this, listening);
        for (size_t i = 0; i < limits_.accepts_per_turn; ++i) {
            if (paused() || !accept_one(accepting) || accepting.listening < 0) return;
        }
    }

    // False: nothing more to accept for now.
    bool accept_one(Accepting& accepting) {
        auto accepted = loop_.sockets().accept(accepting.listening);
        if (accepted) {
            ++counters_.accepted;
            ++open_;
            full_ = limits_.connections_max != 0 && open_ >= limits_.connections_max;
            if (full_) apply();
            backoff_ = limits_.pause_min;
            accepting.handler(accepted->fd, accepted->peer);
            return true;
        }
        const int code = accepted.error().code();
        if (code == EAGAIN || code == EWOULDBLOCK) return false;
        if (code == EMFILE || code == ENFILE) shed(accepting.listening);
        ++counters_.failures;
        pause();
        tell(accepting, accepted.error());
        return false;
    }

    // The last that is done with the listener, which may be gone afterwards.
    [[gnu::cold]] void tell(Accepting& accepting, const Error& error) {
        if (!on_error_) return;
        struct Telling {
            Accepting& accepting;
            ErrorHandler handler;
            ~Telling() {
                if (accepting.listener == nullptr) return;
                accepting.listener->telling_ = false;
                accepting.listener->on_error_ = std::move(handler);
            }
        } telling{accepting, std::move(on_error_)};
        telling_ = true;
        telling.handler(error);
    }

    // The spare descriptor makes room to accept and close one connection after the other.
    [[gnu::cold]] void shed(int listening) {
        if (spare_ < 0) return;
        loop_.sockets().close(std::exchange(spare_, -1));
        for (size_t i = 0; i < limits_.accepts_per_turn; ++i) {
            auto accepted = loop_.sockets().accept(listening);
            if (!accepted) break;
            loop_.sockets().close(accepted->fd);
            ++counters_.shed;
        }
        reserve_spare();
    }

    [[gnu::cold]] void reserve_spare() {
        if (auto spare = loop_.sockets().open(Family::ipv4, SocketKind::stream)) spare_ = *spare;
    }

    // The timer is made beforehand, to run never: when memory is out, pausing must not need any.
    [[gnu::cold]] bool ready_to_pause() {
        if (resume_.id()) return true;
        if (!resume_.at(Instant::max(), [this] { resume(); })) return false;
        loop_.background(resume_.id(), true);
        return true;
    }

    [[gnu::cold]] void pause() {
        paused_ = resume_.rearm(backoff_);
        backoff_ = backoff_ + backoff_;
        if (backoff_ > limits_.pause_max) backoff_ = limits_.pause_max;
        apply();
    }

    [[gnu::cold]] void resume() {
        paused_ = false;
        resume_.rearm(Instant::max());
        if (spare_ < 0) reserve_spare();
        apply();
    }

    Loop& loop_;
    const ListenerLimits limits_;
    Handler on_accept_;
    ErrorHandler on_error_;
    typename Loop::Timer resume_;
    Array<int, typename Loop::MemoryPolicy> fds_;
    Duration backoff_ = limits_.pause_min;
    ListenerCounters counters_;
    size_t open_ = 0;
    int spare_ = -1;
    bool paused_ = false;             // waiting for resume_
    bool full_ = false;               // at the limit of connections
    bool telling_ = false;            // on_error_ is running, on the stack
    Accepting* accepting_ = nullptr;  // on_accept_ is running, and there
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/resolver.hpp

// Resolver: the addresses of names, without blocking the loop. The system's own lookup blocks, so
// it runs on an executor that the user gives, usually a WorkerPool; the answer never comes from
// within the call. A numeric address is answered without the executor.
//
// It refuses to cache, to merge lookups of one name, and to sort: the system does that, and its
// configuration is the user's. A lookup that has begun can't be interrupted: after a cancel or at
// its timeout its answer is dropped, and its worker is busy until the system gives up: with a
// single worker the other lookups wait behind it, and so do run() and the end of the pool.

#include <errno.h>
#include <stdint.h>

#include <span>
#include <string_view>
#include <utility>

namespace rondo::inline RONDO_ABI {

struct ResolveOptions {
    Family family = Family::none;              ///< ipv4 or ipv6 alone; none: both
    Duration timeout = Duration::seconds(30);  ///< then the answer is ETIMEDOUT
};

/// Names one lookup. Harmless once it has been answered.
struct ResolveId {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(const ResolveId&, const ResolveId&) = default;
};

/// What a lookup answers: addresses with the port that was given, the best one first, at least one.
using ResolveResult = Result<std::span<const Endpoint>>;

namespace detail {

struct ResolveRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool fits = CallableWithTail<F, ResolveResult>;
        static_assert(fits, "an answer is called as f(rondo::ResolveResult)");
        return fits;
    }
};

/// What a lookup brings back from the other thread.
struct Resolved {
    static constexpr size_t most = 32;
    Error error;
    size_t count = 0;
    Endpoint endpoints[most];
};

/// The endpoint of a numeric address; "none" if it isn't one.
inline Endpoint numeric_endpoint(std::string_view name, uint16_t port) noexcept {
    if (name == "*") return {};
    const bool v6 = name.find(':') != name.npos;
    Text<280> text;
    text.append(v6 ? "[" : "").append(name).append(v6 ? "]:" : ":").append_unsigned(port);
    const auto at = Endpoint::parse(text);
    return at ? *at : Endpoint();
}

}  // namespace detail

/// Neither copied nor moved: its lookups point at it.
/// Lifetime: must not outlive the loop, nor the executor. Its end cancels all lookups. An answer
/// may destroy it.
/// Threads: loop thread.
template <class Loop, WorkExecutor Executor>
class Resolver {
public:
    using M = typename Loop::MemoryPolicy;
    using Handler = CheckedHandler<void(ResolveResult), detail::ResolveRule, M>;

    Resolver(Loop& loop, Executor& executor) noexcept : loop_(loop), executor_(executor) {}
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver();

    /// Looks `name` up and calls `f(ResolveResult)` once, never from within this call: with at most
    /// 32 addresses, or with what the system says (see NameError), or ETIMEDOUT.
    /// Lifetime: the addresses live until f returns.
    /// Errors: EINVAL for a name that is empty or holds a NUL, ENAMETOOLONG above 253 bytes, EAGAIN
    /// if the executor refuses, ENOMEM; f is not called then.
    Result<ResolveId> resolve(std::string_view name, uint16_t port, const ResolveOptions& options,
                              Handler f);
    Result<ResolveId> resolve(std::string_view name, uint16_t port, Handler f) {
        return resolve(name, port, ResolveOptions(), std::move(f));
    }

    /// True if it hadn't been answered; f isn't called any more.
    bool cancel(ResolveId id) noexcept;

    /// Lookups that haven't been answered.
    size_t pending() const noexcept { return lookups_.size(); }

private:
    static constexpr size_t name_max = 253;

    struct Lookup {
        Handler f;
        Error timed_out;   // tells the name
        Endpoint numeric;  // what it was asked for, if that is an address
        TimerId timer;     // its deadline; of a numeric one, its turn
        WorkId work;
    };
    // What a late answer finds when the resolver has gone. Answers live on the loop's thread.
    struct Anchor {
        Resolver* resolver;
        size_t answers = 1;
    };
    struct Job {
        typename Loop::Poller::System* system;
        Text<name_max + 1> name;
        uint16_t port;
        Family family;

        detail::Resolved operator()() const noexcept {
            detail::Resolved found;
            const auto count = system->resolve(name.c_str(), port, family, found.endpoints);
            found.error = count.error();
            if (count) found.count = *count;
            return found;
        }
    };
    struct Answer {
        Anchor* anchor;
        SlabKey key;

        Answer(Anchor& at, SlabKey of) noexcept : anchor(&at), key(of) { ++at.answers; }
        Answer(Answer&& other) noexcept
            : anchor(std::exchange(other.anchor, nullptr)), key(other.key) {}
        Answer& operator=(Answer&&) = delete;
        ~Answer() { leave(anchor); }
        void operator()(Outcome<detail::Resolved> outcome) const {
            Resolver* const resolver = anchor->resolver;
            if (resolver == nullptr) return;
            const std::span<const Endpoint> found(outcome->endpoints, outcome->count);
            if (outcome->error) return resolver->answer(key, outcome->error);
            resolver->answer(key, found);
        }
    };

    static void leave(Anchor* anchor) noexcept {
        if (anchor != nullptr && --anchor->answers == 0) {
            M::release(anchor, sizeof(Anchor), alignof(Anchor));
        }
    }
    bool ready() noexcept {
        if (anchor_ != nullptr) return true;
        void* const memory = M::allocate(sizeof(Anchor), alignof(Anchor));
        if (memory != nullptr) anchor_ = ::new (memory) Anchor{this};
        return anchor_ != nullptr;
    }

    int begin(SlabKey key, std::string_view name, uint16_t port, const ResolveOptions& options);
    void answer(SlabKey key, ResolveResult result);
    void expired(SlabKey key);

    Loop& loop_;
    Executor& executor_;
    Slab<Lookup, M> lookups_;
    Anchor* anchor_ = nullptr;
};

template <class Loop, WorkExecutor Executor>
Resolver<Loop, Executor>::~Resolver() {
    if (anchor_ != nullptr) anchor_->resolver = nullptr;
    lookups_.for_each([this](SlabKey key, Lookup&) { cancel({key}); });
    leave(anchor_);
}

template <class Loop, WorkExecutor Executor>
Result<ResolveId> Resolver<Loop, Executor>::resolve(std::string_view name, uint16_t port,
                                                    const ResolveOptions& options, Handler f) {
    RONDO_ASSERT(options.family != Family::unix_path, "names have IPv4 and IPv6 addresses only");
    if (name.empty() || name.find('\0') != name.npos) return Error(EINVAL, "resolve", name);
    if (name.size() > name_max) return Error(ENAMETOOLONG, "resolve", name);
    if (!f || !ready()) return Error(ENOMEM, "resolve", name);
    const SlabKey key = lookups_.insert();
    if (!key) return Error(ENOMEM, "resolve", name);
    Lookup& lookup = *lookups_.find(key);
    lookup.f = std::move(f);
    lookup.timed_out = Error(ETIMEDOUT, "resolve", name);
    lookup.numeric = detail::numeric_endpoint(name, port);
    if (const int code = begin(key, name, port, options); code != 0) {
        const Error refused(code, "resolve", name);
        cancel({key});  // the handler may own the name
        return refused;
    }
    return ResolveId{key};
}

// 0, or why it can't.
template <class Loop, WorkExecutor Executor>
int Resolver<Loop, Executor>::begin(SlabKey key, std::string_view name, uint16_t port,
                                    const ResolveOptions& options) {
    Lookup& lookup = *lookups_.find(key);
    if (lookup.numeric) {
        const Family family = lookup.numeric.family();
        const bool wanted = options.family == Family::none || options.family == family;
        lookup.timer = loop_.at(Instant(), [this, key, wanted] {
            const Endpoint at = lookups_.find(key)->numeric;
            if (wanted) return answer(key, std::span(&at, 1));
            const Text<120> text = at.text();
            answer(key, Error(no_such_address, "resolve", text));
        });
        return lookup.timer ? 0 : ENOMEM;
    }
    if (options.timeout != never) {
        lookup.timer = loop_.after(options.timeout, [this, key] { expired(key); });
        if (!lookup.timer) return ENOMEM;
    }
    Job job{&loop_.poller().system(), Text<name_max + 1>(name), port, options.family};
    lookup.work = executor_.submit(std::move(job), Answer(*anchor_, key));
    return lookup.work ? 0 : EAGAIN;
}

template <class Loop, WorkExecutor Executor>
bool Resolver<Loop, Executor>::cancel(ResolveId id) noexcept {
    Lookup* const lookup = lookups_.find(id.key);
    if (lookup == nullptr) return false;
    if (lookup->timer) loop_.cancel(lookup->timer);
    const WorkId work = lookup->work;
    const Handler f = std::move(lookup->f);  // destroyed last: what it captures may own this
    lookups_.erase(id.key);
    if (work) executor_.cancel(work);
    return true;
}

// The last that is done with the resolver: f may destroy it.
template <class Loop, WorkExecutor Executor>
void Resolver<Loop, Executor>::answer(SlabKey key, ResolveResult result) {
    Lookup* const lookup = lookups_.find(key);
    if (lookup == nullptr) return;
    if (lookup->timer) loop_.cancel(lookup->timer);
    Handler f = std::move(lookup->f);
    lookups_.erase(key);
    f(std::move(result));
}

template <class Loop, WorkExecutor Executor>
void Resolver<Loop, Executor>::expired(SlabKey key) {
    const Lookup& lookup = *lookups_.find(key);
    const Error late = lookup.timed_out;
    executor_.cancel(lookup.work);
    answer(key, late);
}

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/server.hpp

// Server: a listener and the connections that it has accepted, with one set of handlers.

#include <utility>

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

// ---- rondo/net/udp_options.hpp

// How datagram sockets behave, and what they count.

#include <stddef.h>
#include <stdint.h>

namespace rondo::inline RONDO_ABI {

/// Fixed for the life of a UdpSocket.
struct UdpOptions {
    /// Longer datagrams are cut, which is told. The default is what UDP can carry; with 2048, which
    /// is more than a network carries in one piece, a batch is 64 datagrams instead of 4.
    size_t datagram_max = 65536;
    /// Room for datagrams that wait to be sent, with 120 bytes beside each. What doesn't fit is
    /// dropped; 0: whatever would have to wait.
    size_t unsent_max = 256 * 1024;
};

/// How to bind a UdpSocket.
struct UdpBindOptions {
    /// Several sockets bind to one address and port, and the kernel spreads the senders over them.
    bool reuse_port = false;
    /// The same without spreading: each gets what is sent to a group, one of them the rest.
    bool reuse_address = false;
    bool dual_stack = false;  ///< an IPv6 wildcard also takes IPv4
};

/// What a UdpSocket has done so far.
struct UdpCounters {
    uint64_t received = 0;       ///< datagrams that on_datagram was shown
    uint64_t sent = 0;           ///< datagrams that the kernel took
    uint64_t truncated = 0;      ///< received ones that were longer than datagram_max
    uint64_t dropped = 0;        ///< not sent: no room, or an error after they had waited
    uint64_t errors = 0;         ///< failures that the kernel told, memory that was out
    uint64_t receive_calls = 0;  ///< batches asked for; a system call each, on Linux
    uint64_t send_calls = 0;     ///< the same, and what send() tried at once
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/udp_socket.hpp

// UdpSocket: datagrams on a loop. They are received in batches, into a buffer of the loop, and
// shown one by one. What is sent within its handlers leaves in one system call when the batch has
// been shown; otherwise send() tries at once. What the kernel doesn't take waits in a bounded
// queue, and beyond that it is dropped and counted: datagrams may be lost, memory may not grow.
//
// A batch that was begun is never lost: when its socket is paused, or a handler throws, it keeps
// the buffer until the rest has been shown.
//
// It refuses to repeat, to order and to fragment. Datagram sockets of Unix work as well.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace rondo::inline RONDO_ABI {

namespace detail {

struct DatagramRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool ok =
            CallableWith<std::decay_t<F>, std::span<const std::byte>, const Datagram&>;
        static_assert(ok,
                      "on_datagram is called as f(std::span<const std::byte> bytes, "
                      "const rondo::Datagram& from)");
        return ok;
    }
};

struct UdpErrorRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool ok = CallableWith<std::decay_t<F>, const Error&>;
        static_assert(ok, "on_error is called as f(const rondo::Error& error)");
        return ok;
    }
};

}  // namespace detail

/// Neither copied nor moved: its watch points at it. While it is open it keeps run() going.
/// Lifetime: must not outlive the loop, nor be destroyed by its own handlers (asserted), which may
/// close it.
/// Threads: loop thread.
template <class Loop>
class UdpSocket {
public:
    using M = typename Loop::MemoryPolicy;

    explicit UdpSocket(Loop& loop, const UdpOptions& options = {}) noexcept
        : loop_(loop), options_(options), unsent_(options.unsent_max), again_(loop.timer()) {
        RONDO_ASSERT(options.datagram_max > 0 && options.datagram_max <= 65536,
                     "datagram_max is from 1 to 65536 bytes");
    }
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;
    ~UdpSocket() {
        RONDO_ASSERT(depth_ == 0, "a UdpSocket is destroyed by its own handler: close() it there");
        close();
    }

    // Handlers: set them before the socket is opened. --------------------------------------------

    /// `f(std::span<const std::byte> bytes, const Datagram& from)`: one has come. Without such a
    /// handler nothing is received.
    /// Lifetime: the bytes don't change until it returns.
    template <class F>
    void on_datagram(F&& f) {
        set(on_datagram_, datagram_lost_, static_cast<F&&>(f));
    }
    /// `f(const Error& error)`: what the kernel tells later, such as ECONNREFUSED because an
    /// earlier datagram found nobody. The socket lives on. Without such a handler it is counted.
    template <class F>
    void on_error(F&& f) {
        set(on_error_, error_lost_, static_cast<F&&>(f));
    }

    // Opening and closing ------------------------------------------------------------------------

    /// Opens the socket at this address; port 0 lets the system choose, local() tells which. It
    /// must be closed.
    /// Errors: what the system says, named "bind 127.0.0.1:53"; ENOMEM.
    Result<void> bind(const Endpoint& at, const UdpBindOptions& options = {});
    /// Sends to this peer and hears no other from now on. Opens the socket if it isn't open.
    /// Errors: what the system says, named "connect 127.0.0.1:53"; ENOMEM.
    Result<void> connect(const Endpoint& to);
    /// Takes a datagram socket that is open already, and non-blocking.
    /// Errors: what the poller says of it, ENOMEM; the descriptor is then still the caller's.
    Result<void> adopt(int fd);

    /// Closes the socket; what waits to be sent, or to be shown, is lost. It can be opened again.
    void close() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    /// The descriptor, for more options than there are here; -1 if it isn't open.
    int fd() const noexcept { return fd_; }
    /// Errors: EBADF if it isn't open.
    Result<Endpoint> local() { return sockets().local(fd_); }

    // Sending and receiving ----------------------------------------------------------------------

    /// Sends a copy of `bytes` as one datagram. Success means that it left or waits to leave.
    /// Errors: ENOBUFS: as much as unsent_max waits, it was dropped; EMSGSIZE; ENOMEM; EBADF if the
    /// socket isn't open. Outside of its handlers also what the system says, EHOSTUNREACH or the
    /// ECONNREFUSED of an earlier one; within them on_error is told. To a Unix socket without
    /// connect() also EAGAIN: nothing tells when there is room again, so it can't wait.
    /// Cost: one system call outside of its handlers; within them a share of one.
    Result<void> send(std::span<const std::byte> bytes, const Endpoint& to);
    Result<void> send(std::string_view text, const Endpoint& to) {
        return send(std::as_bytes(std::span(text)), to);
    }
    /// The same to the peer that it is connected to.
    /// Errors: also EDESTADDRREQ or ENOTCONN if there is none.
    Result<void> send(std::span<const std::byte> bytes) { return send(bytes, Endpoint()); }
    Result<void> send(std::string_view text) { return send(text, Endpoint()); }
    /// Sends what waits now, in a handler too, as far as the kernel takes it.
    void flush() {
        Running running(*this);
        write_out();
    }
    /// Datagrams that wait to be sent.
    size_t unsent() const noexcept { return unsent_.size(); }

    /// Shows no more until resume(), not even of the batch that is being shown.
    void pause() noexcept {
        paused_ = true;
        if (depth_ == 0) conclude();
    }
    void resume() noexcept {
        paused_ = false;
        if (depth_ == 0) conclude();
    }
    bool paused() const noexcept { return paused_; }

    // Multicast and broadcast, when it is open ---------------------------------------------------

    /// Receives what is sent to `group`, on the interface with that index (0: the group's own
    /// scope, or the system's choice). Bind to the group's port before.
    /// Errors: EINVAL if it is no group, EADDRINUSE if it was joined before, ENODEV...
    Result<void> join(const Endpoint& group, uint32_t interface = 0) {
        return sockets().join(fd_, group, interface);
    }
    Result<void> leave(const Endpoint& group, uint32_t interface = 0) {
        return sockets().leave(fd_, group, interface);
    }
    /// The same for what `source` sends to the group.
    Result<void> join_source(const Endpoint& group, const Endpoint& source,
                             uint32_t interface = 0) {
        return sockets().join_source(fd_, group, source, interface);
    }
    Result<void> leave_source(const Endpoint& group, const Endpoint& source,
                              uint32_t interface = 0) {
        return sockets().leave_source(fd_, group, source, interface);
    }
    /// How many routers what is sent to a group may pass.
    Result<void> set_multicast_hops(int hops) {
        return sockets().set_multicast_hops(fd_, family_, hops);
    }
    /// Whether this machine hears what is sent to a group.
    Result<void> set_multicast_loop(bool on) {
        return sockets().set_multicast_loop(fd_, family_, on);
    }
    /// Where what is sent to a group leaves.
    Result<void> set_multicast_interface(uint32_t interface) {
        return sockets().set_multicast_interface(fd_, family_, interface);
    }
    /// Allows to send to broadcast addresses (else EACCES).
    Result<void> set_broadcast(bool on) { return sockets().set_broadcast(fd_, on); }

    const UdpOptions& options() const noexcept { return options_; }
    const UdpCounters& counters() const noexcept { return counters_; }

private:
    static constexpr size_t batch_max = 64;
    static constexpr int batches_per_turn = 4;
    using Lease = typename detail::Scratch<M>::Lease;
    using DatagramHandler =
        CheckedHandler<void(std::span<const std::byte>, const Datagram&), detail::DatagramRule, M>;
    using ErrorHandler = CheckedHandler<void(const Error&), detail::UdpErrorRule, M>;

    // While its handlers may be running. What they have left to do is seen to at the end, also if
    // one of them throws.
    struct Running {
        UdpSocket& self;

        explicit Running(UdpSocket& socket) noexcept : self(socket) { ++self.depth_; }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() {
            if (--self.depth_ == 0) self.conclude();
        }
    };

    struct Writing;

    template <class H, class F>
    void set(H& handler, bool& lost, F&& f) {
        RONDO_ASSERT(fd_ < 0 && depth_ == 0, "set the handlers of a UdpSocket before it is opened");
        handler = H(static_cast<F&&>(f));
        lost = !handler;
    }
    auto& sockets() noexcept { return loop_.sockets(); }
    bool wants_read() const noexcept { return fd_ >= 0 && !paused_ && on_datagram_; }

    Result<int> open(const Endpoint& at, const UdpBindOptions& options);
    Result<void> watch(int fd, const char* call);
    void conclude() noexcept;
    void ready(Readiness readiness);
    void continue_later();
    Error failure(int code, const char* call, const Endpoint* peer) const noexcept;
    void report(int code, const char* call, const Endpoint* peer = nullptr);
    void write_out();
    void read_in();
    BatchResult receive();
    void show();
    IoResult send_now(std::span<const std::byte> bytes, const Endpoint& to);
    Result<void> enqueue(std::span<const std::byte> bytes, const Endpoint& to);

    Loop& loop_;
    const UdpOptions options_;
    DatagramHandler on_datagram_;
    ErrorHandler on_error_;
    DatagramQueue<M> unsent_;
    Array<Datagram, M> batch_;
    Lease lease_;       // the bytes of the batch
    size_t shown_ = 0;  // datagrams of the batch
    size_t count_ = 0;  // datagrams in the batch
    typename Loop::Timer again_;
    UdpCounters counters_;
    int fd_ = -1;
    int depth_ = 0;
    uint32_t life_ = 0;  // grows with every close
    Family family_ = Family::none;
    bool paused_ = false;
    bool blocked_ = false;  // until the kernel says that it takes more
    bool writing_ = false;
    bool datagram_lost_ = false;  // memory was out when the handler was set
    bool error_lost_ = false;
};

}  // namespace rondo::inline RONDO_ABI

// ---- rondo/net/udp_socket_io.hpp

// How a UdpSocket opens, reads, writes and closes.
//
// Handlers only leave notes: datagrams in the queue, a flag, a closed descriptor. Every call that
// can lead to one is inside a Running, whose end, conclude(), asks the loop for what is left to do.
// After each handler the code looks at the socket anew; `life_` tells whether it is still the one
// that the batch came from.

namespace rondo::inline RONDO_ABI {

// Opening and closing -----------------------------------------------------------------------------

template <class Loop>
Result<int> UdpSocket<Loop>::open(const Endpoint& at, const UdpBindOptions& options) {
    auto fd = sockets().open(at.family(), SocketKind::datagram);
    if (!fd || !at.is_ip()) return fd;
    Result<void> done;
    if (options.reuse_port) done = sockets().set_reuse_port(*fd, true);
    if (done && options.reuse_address) done = sockets().set_reuse_address(*fd, true);
    if (done && at.family() == Family::ipv6) {
        done = sockets().set_v6_only(*fd, !options.dual_stack);
    }
    if (done) return fd;
    sockets().close(*fd);
    return done.error();
}

template <class Loop>
Result<void> UdpSocket<Loop>::bind(const Endpoint& at, const UdpBindOptions& options) {
    RONDO_ASSERT(fd_ < 0, "bind: this UdpSocket is open already; close it first");
    const auto fd = open(at, options);
    if (!fd) return Error(fd.error().code(), "bind", at.text());
    Result<void> done = sockets().bind(*fd, at);
    if (done) done = watch(*fd, "bind");
    if (done) {
        family_ = at.family();
        return {};
    }
    sockets().close(*fd);
    return Error(done.error().code(), "bind", at.text());
}

template <class Loop>
Result<void> UdpSocket<Loop>::connect(const Endpoint& to) {
    if (fd_ >= 0) return sockets().connect(fd_, to);
    const auto fd = open(to, {});
    if (!fd) return Error(fd.error().code(), "connect", to.text());
    Result<void> done = sockets().connect(*fd, to);
    if (done) done = watch(*fd, "connect");
    if (done) {
        family_ = to.family();
        return {};
    }
    sockets().close(*fd);
    return Error(done.error().code(), "connect", to.text());
}

template <class Loop>
Result<void> UdpSocket<Loop>::adopt(int fd) {
    RONDO_ASSERT(fd_ < 0, "adopt: this UdpSocket is open already; close it first");
    const auto at = sockets().local(fd);
    if (!at) return Error::on_fd(at.error().code(), "adopt", fd);
    if (auto watched = watch(fd, "adopt"); !watched) return watched;
    family_ = at->family();
    return {};
}

// The timer is made beforehand, to run never: going on later must not need any memory.
template <class Loop>
Result<void> UdpSocket<Loop>::watch(int fd, const char* call) {
    const size_t fitting = detail::Scratch<M>::bytes / options_.datagram_max;
    if (datagram_lost_ || error_lost_ ||
        !batch_.resize(fitting < batch_max ? fitting : batch_max)) {
        return Error::on_fd(ENOMEM, call, fd);
    }
    if (!again_.id()) {
        if (!again_.at(Instant::max(), [this] { continue_later(); })) {
            return Error::on_fd(ENOMEM, call, fd);
        }
        loop_.background(again_.id(), true);
    }
    const Interest wanted = !paused_ && on_datagram_ ? Interest::read : Interest::none;
    const auto added = loop_.add(fd, wanted, [this](Readiness readiness) { ready(readiness); });
    if (!added) return Error::on_fd(added.error().code(), call, fd);
    fd_ = fd;
    return {};
}

template <class Loop>
void UdpSocket<Loop>::close() noexcept {
    if (fd_ < 0) return;
    ++life_;
    loop_.close(std::exchange(fd_, -1));
    unsent_.clear();
    blocked_ = false;
    shown_ = count_ = 0;
    if (depth_ == 0) lease_ = {};  // else a handler may be looking at it
    again_.rearm(Instant::max());
}

// What runs next ----------------------------------------------------------------------------------

// The rest of a batch comes with no event: the kernel doesn't have it any more.
template <class Loop>
void UdpSocket<Loop>::conclude() noexcept {
    if (shown_ == count_) lease_ = {};
    if (fd_ < 0) return;
    Interest wanted = Interest::none;
    if (wants_read()) wanted |= Interest::read;
    if (!unsent_.empty()) wanted |= Interest::write;
    loop_.modify(fd_, wanted);
    if (shown_ < count_ && wants_read()) again_.rearm(loop_.now());
}

template <class Loop>
void UdpSocket<Loop>::continue_later() {
    again_.rearm(Instant::max());
    if (depth_ != 0) return;
    Running running(*this);
    show();
    write_out();
}

// An error that isn't read would be reported for ever.
template <class Loop>
void UdpSocket<Loop>::ready(Readiness readiness) {
    constexpr Readiness over = Readiness::hangup | Readiness::error;
    if (depth_ != 0) return;
    Running running(*this);
    if (any(readiness, Readiness::writable | over)) blocked_ = false;
    if (any(readiness, over) && !wants_read()) {
        if (const int code = sockets().error(fd_)) report(code, "receive");
    }
    write_out();
    read_in();
}

template <class Loop>
Error UdpSocket<Loop>::failure(int code, const char* call, const Endpoint* peer) const noexcept {
    if (peer != nullptr && *peer) return Error(code, call, peer->text());
    return Error::on_fd(code, call, fd_);
}

template <class Loop>
void UdpSocket<Loop>::report(int code, const char* call, const Endpoint* peer) {
    ++counters_.errors;
    if (on_error_) on_error_(failure(code, call, peer));
}

// Sending -----------------------------------------------------------------------------------------

// Readiness doesn't tell when the receiver of a Unix socket that isn't connected has room: what is
// sent to a name isn't waited for.
template <class Loop>
Result<void> UdpSocket<Loop>::send(std::span<const std::byte> bytes, const Endpoint& to) {
    if (fd_ < 0) return failure(EBADF, "send", &to);
    if (depth_ != 0 || !unsent_.empty()) return enqueue(bytes, to);
    const IoResult sent = send_now(bytes, to);
    if (sent) return {};
    if (sent.would_block() && to.family() != Family::unix_path) {
        auto queued = enqueue(bytes, to);
        blocked_ = static_cast<bool>(queued);
        conclude();
        return queued;
    }
    ++counters_.errors;
    return failure(sent.code, "send", &to);
}

template <class Loop>
IoResult UdpSocket<Loop>::send_now(std::span<const std::byte> bytes, const Endpoint& to) {
    const IoResult sent = sockets().send_to(fd_, bytes, to);
    ++counters_.send_calls;
    if (sent) ++counters_.sent;
    return sent;
}

template <class Loop>
Result<void> UdpSocket<Loop>::enqueue(std::span<const std::byte> bytes, const Endpoint& to) {
    if (bytes.size() > UINT16_MAX) return failure(EMSGSIZE, "send", &to);
    int code = unsent_.push(bytes, to);
    if (code == ENOBUFS && depth_ != 0 && !blocked_) {
        write_out();  // the kernel may take them now
        if (fd_ < 0) return failure(EBADF, "send", &to);
        code = unsent_.push(bytes, to);
        if (code == ENOBUFS && !blocked_ && unsent_.empty()) {  // it is larger than the queue
            const IoResult sent = send_now(bytes, to);
            if (sent) return {};
            if (!sent.would_block()) code = sent.code;
        }
    }
    if (code == 0) return {};
    ++counters_.dropped;
    return failure(code, "send", &to);
}

template <class Loop>
struct UdpSocket<Loop>::Writing {
    bool& now;

    explicit Writing(bool& flag) noexcept : now(flag) { now = true; }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing() { now = false; }
};

// At most what was there when it began: on_error may send again, and flush.
template <class Loop>
void UdpSocket<Loop>::write_out() {
    if (writing_ || unsent_.empty()) return;
    const Writing writing(writing_);
    const uint32_t life = life_;
    size_t left = unsent_.size();
    while (left != 0 && !blocked_ && life == life_) {
        OutDatagram batch[batch_max];
        const size_t count = unsent_.gather({batch, left < batch_max ? left : batch_max});
        const BatchResult sent = sockets().send_batch(fd_, {batch, count});
        ++counters_.send_calls;
        counters_.sent += sent.count;
        if (sent.code == 0) {
            unsent_.pop(sent.count);
            left -= sent.count;
            continue;
        }
        const Endpoint to = *batch[sent.count].to;
        if (sent.would_block() && to.family() != Family::unix_path) {
            unsent_.pop(sent.count);
            blocked_ = true;
            return;
        }
        unsent_.pop(sent.count + 1);
        left -= sent.count + 1;
        ++counters_.dropped;
        report(sent.code, "send", &to);
    }
}

// Receiving ---------------------------------------------------------------------------------------

template <class Loop>
void UdpSocket<Loop>::read_in() {
    const uint32_t life = life_;
    show();
    write_out();
    for (int i = 0; i < batches_per_turn && wants_read() && life == life_; ++i) {
        if (shown_ < count_) return;  // it was paused there, and on_error has resumed it
        const BatchResult got = receive();
        show();
        if (life == life_ && got.code != 0 && !got.would_block()) report(got.code, "receive");
        write_out();
        if (got.count < batch_.size()) return;
    }
}

// Without memory for a buffer the first datagram is lost, so that its readiness doesn't spin.
template <class Loop>
BatchResult UdpSocket<Loop>::receive() {
    if (lease_.span().empty()) lease_ = Lease(loop_.scratch());
    const auto room = lease_.span();
    ++counters_.receive_calls;
    if (room.empty()) {
        std::byte none[1];
        Datagram lost;
        const IoResult got = sockets().receive_from(fd_, none, lost);
        return {0, got ? ENOMEM : got.code};
    }
    const BatchResult got =
        sockets().receive_batch(fd_, room, options_.datagram_max, {batch_.data(), batch_.size()});
    shown_ = 0;
    count_ = got.count;
    return got;
}

template <class Loop>
void UdpSocket<Loop>::show() {
    while (shown_ < count_ && wants_read()) {
        const Datagram& datagram = batch_[shown_];
        const auto bytes = lease_.span().subspan(shown_ * options_.datagram_max, datagram.bytes);
        ++shown_;
        ++counters_.received;
        if (datagram.truncated) ++counters_.truncated;
        on_datagram_(bytes, datagram);
    }
}

}  // namespace rondo::inline RONDO_ABI
