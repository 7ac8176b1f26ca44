// SPDX-License-Identifier: BSL-1.0
#pragma once
// Where in the user's program something was registered. Programs built with RONDO_TRACE_LOCATIONS
// keep it for EventLoop::dump(); in all others it is an empty type that costs nothing. (Clang 14
// lacks std::source_location; the builtins are what that is made of.)

#include <rondo/config/version.hpp>

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
