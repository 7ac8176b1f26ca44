// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the echo servers that call the system themselves have in common: one way to accept, to
// receive and to send. No contender sets an option of a socket: TCP_NODELAY is inherited.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "bench/system.hpp"

namespace bench {

/// Where the size of a read can be chosen.
inline constexpr size_t read_size = size_t{256} * 1024;

/// On a page's start, where the kernel's copies are fastest.
class ReadBuffer {
public:
    explicit ReadBuffer(size_t size = read_size)
        : size_(size), bytes_(static_cast<char*>(std::aligned_alloc(4096, size))) {
        if (bytes_ == nullptr) fail("aligned_alloc");
    }
    ReadBuffer(const ReadBuffer&) = delete;
    ReadBuffer& operator=(const ReadBuffer&) = delete;
    ~ReadBuffer() { std::free(bytes_); }

    char* data() { return bytes_; }
    size_t size() const { return size_; }

private:
    size_t size_;
    char* bytes_;
};

/// The next client that waits; -1: none does.
inline int accept_client(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN) fail("accept4");
    return fd;
}

/// The client has closed its side, perhaps by a reset: the two ends that a benchmark's load makes.
inline bool is_end(int code) { return code == 0 || code == ECONNRESET || code == EPIPE; }

/// How many bytes have come; 0: none will any more; -1: none yet.
inline ssize_t receive(int fd, char* to, size_t size) {
    const ssize_t got = ::read(fd, to, size);
    if (got >= 0 || errno == EAGAIN) return got;
    if (!is_end(errno)) fail("read");
    return 0;
}

/// How many bytes the kernel took. It takes all if the client is gone, which receive() tells next.
inline size_t send_some(int fd, const char* from, size_t size) {
    const ssize_t sent = ::write(fd, from, size);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN) return 0;
    if (!is_end(errno)) fail("write");
    return size;
}

}  // namespace bench
