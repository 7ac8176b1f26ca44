// SPDX-License-Identifier: BSL-1.0
#pragma once
// A short text in place: what messages, addresses and dumps are built from without an allocation
// and without <string>. What doesn't fit is cut off; it never overflows and is always terminated.

#include <stddef.h>
#include <string.h>

#include <string_view>

#include <rondo/config/version.hpp>

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
