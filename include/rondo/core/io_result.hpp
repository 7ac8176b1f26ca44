// SPDX-License-Identifier: BSL-1.0
#pragma once
// What one read or write did: a count or an errno, in two registers. Reads and writes are the hot
// path, and "would block" is their everyday answer; an Error of 64 bytes is built only when
// somebody asks for it.

#include <errno.h>
#include <stddef.h>

#include <rondo/core/error.hpp>

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
