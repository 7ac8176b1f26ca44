// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the socket tests share: waiting without a clock, counting descriptors, a directory for Unix
// sockets, and a connected TCP pair.

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <rondo/os/fd.hpp>
#include <rondo/os/posix_sockets.hpp>

#include "support/catch.hpp"

namespace sockets_test {

using rondo::Accepted;
using rondo::Endpoint;
using rondo::Family;
using rondo::Fd;
using rondo::PosixSockets;
using rondo::SocketKind;

inline std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Waits until `fd` has one of `events`, an error or a hang-up; the time limit is the test
/// runner's.
inline short wait_for(int fd, short events) {
    pollfd entry{fd, events, 0};
    while (poll(&entry, 1, -1) < 0 && errno == EINTR) {
    }
    return entry.revents;
}

/// A busy kernel may deliver what is sent over loopback a little later, but in its order: waits for
/// a datagram that is sent last.
inline void settle() {
    const Fd fd(PosixSockets::open(Family::ipv4, SocketKind::datagram).value());
    REQUIRE(PosixSockets::bind(fd.get(), Endpoint::ipv4_loopback(0)));
    const Endpoint self = PosixSockets::local(fd.get()).value();
    REQUIRE(PosixSockets::send_to(fd.get(), bytes("x"), self));
    wait_for(fd.get(), POLLIN);
}

/// Reads once, at most 4096 bytes, after waiting for them.
inline std::string read_text(int fd) {
    wait_for(fd, POLLIN);
    std::byte buffer[4096];
    const auto got = PosixSockets::read(fd, buffer);
    REQUIRE(got);
    return {reinterpret_cast<const char*>(buffer), got.bytes};
}

/// How many descriptors this process has open.
inline int open_descriptors() {
    DIR* const directory = opendir("/proc/self/fd");
    REQUIRE(directory != nullptr);
    int count = 0;
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
}

/// Fails the test if more descriptors are open at its end than at its beginning.
class NoLeak {
public:
    NoLeak() : before_(open_descriptors()) {}
    void check() const { CHECK(open_descriptors() == before_); }

private:
    int before_;
};

/// Leaves room for `count` more descriptors only.
class DescriptorLimit {
public:
    explicit DescriptorLimit(unsigned count) {
        REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
        // The first `count` free numbers stay below the limit only if they are neighbours.
        int last = -1;
        Fd held[8];
        for (unsigned i = 0; i <= count; ++i) {
            held[i].reset(dup(0));
            last = held[i].get();
            REQUIRE(last >= 0);
        }
        rlimit low = before_;
        low.rlim_cur = static_cast<rlim_t>(last);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    }
    ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

/// A new directory, removed with the files in it.
class Directory {
public:
    Directory() { REQUIRE(mkdtemp(path_) != nullptr); }
    ~Directory() {
        if (DIR* const directory = opendir(path_)) {
            while (const dirent* const entry = readdir(directory)) {
                unlink((std::string(path_) + "/" + entry->d_name).c_str());
            }
            closedir(directory);
        }
        rmdir(path_);
    }
    std::string file(const char* name) const { return std::string(path_) + "/" + name; }

private:
    char path_[32] = "/tmp/rondo-test-XXXXXX";
};

/// Counts SIGPIPEs instead of dying of them.
class SigpipeCounter {
public:
    SigpipeCounter() {
        count = 0;
        struct sigaction action{};
        action.sa_handler = [](int) { count = count + 1; };
        sigaction(SIGPIPE, &action, &before_);
    }
    ~SigpipeCounter() { sigaction(SIGPIPE, &before_, nullptr); }

    static inline volatile sig_atomic_t count = 0;

private:
    struct sigaction before_{};
};

/// Sends a text over a Unix socket, and a copy of the descriptor with it.
inline void send_with_descriptor(int fd, std::string_view text) {
    std::string copy(text);
    iovec part{copy.data(), copy.size()};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    REQUIRE(sendmsg(fd, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

/// A TCP connection over loopback.
struct TcpPair {
    TcpPair() {
        auto listening = PosixSockets::listen_on(Endpoint::ipv4_loopback(0), {});
        REQUIRE(listening);
        const Fd listener(*listening);
        auto connecting = PosixSockets::connect_to(*PosixSockets::local(listener.get()), {});
        REQUIRE(connecting);
        client.reset(*connecting);
        wait_for(listener.get(), POLLIN);
        const auto accepted = PosixSockets::accept(listener.get());
        REQUIRE(accepted);
        server.reset(accepted->fd);
        wait_for(client.get(), POLLOUT);
        REQUIRE(PosixSockets::error(client.get()) == 0);
    }

    Fd client;
    Fd server;
};

}  // namespace sockets_test
