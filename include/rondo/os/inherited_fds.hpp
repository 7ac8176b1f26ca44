// SPDX-License-Identifier: BSL-1.0
#pragma once
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

#include <rondo/core/result.hpp>

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
