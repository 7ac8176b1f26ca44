// SPDX-License-Identifier: BSL-1.0
#pragma once
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

#include <rondo/config/platform.hpp>
#include <rondo/core/result.hpp>
#include <rondo/os/fd.hpp>

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
