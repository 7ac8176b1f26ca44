// SPDX-License-Identifier: BSL-1.0
#pragma once
// Why a name has no address. Looking up names has failures that no errno says; an Error carries
// them as negative codes, which are the same on every system, and prints them as sentences.

#include <errno.h>

#include <rondo/config/version.hpp>

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
