// SPDX-License-Identifier: BSL-1.0
#pragma once
// Numeric IP addresses as text, both ways: dotted IPv4, and IPv6 as RFC 4291 reads it and RFC 5952
// prints it. Own code, because inet_pton lives in an OS header, takes no length, and core may not
// know either; and because a strict reader is the only one that a program can build policy on.
//
// It refuses what inet_aton once allowed (octal, hexadecimal and short forms of IPv4), and names.

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include <rondo/config/version.hpp>
#include <rondo/core/text.hpp>

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
