// SPDX-License-Identifier: BSL-1.0
#pragma once
// The way from an Error to the standard library's std::error_code, for programs that use it.

#include <system_error>

#include <rondo/core/error.hpp>

namespace rondo::inline RONDO_ABI {

/// The same number in std::generic_category(); of a NameError, the errno that comes next to it.
inline std::error_code to_error_code(const Error& error) noexcept {
    return {detail::errno_of(error.code()), std::generic_category()};
}

}  // namespace rondo::inline RONDO_ABI
