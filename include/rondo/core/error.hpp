// SPDX-License-Identifier: BSL-1.0
#pragma once
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

#include <rondo/config/version.hpp>
#include <rondo/core/name_error.hpp>
#include <rondo/core/text.hpp>

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
