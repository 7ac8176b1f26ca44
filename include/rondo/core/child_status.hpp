// SPDX-License-Identifier: BSL-1.0
#pragma once
// How a child process ended.

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

/// The end of one child process.
struct ChildStatus {
    int pid = -1;
    bool signaled = false;  ///< ended by a signal rather than by exit
    int code = 0;           ///< the exit status, or the number of the signal
};

}  // namespace rondo::inline RONDO_ABI
