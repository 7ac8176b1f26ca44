// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the contenders work on: N descriptors in a ring, and A tokens that run round it. A token is
// one byte. Whoever is told that a descriptor is readable takes its token out and passes it on.
//
// Each token runs round a share of its own, every A-th descriptor, so tokens never meet: they all
// move one step per turn of the loop, and every wait finds exactly A events.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/system.hpp"

namespace bench {

struct Shape {
    int pipes = 0;
    int active = 0;
};

/// What is done for an event, apart from passing the token on.
enum class Variant {
    plain,   // nothing
    timer,   // an idle timer of 10 s is re-armed
    toggle,  // write interest is switched on and off again
    reply,   // the read handler switches it on, the write handler passes on and switches it off
};

inline constexpr int idle_seconds = 10;

/// What a contender does when an idle timer fires. None may: no descriptor is idle for so long.
[[noreturn]] inline void idle_too_long() {
    std::fprintf(stderr, "a descriptor was idle for %d s\n", idle_seconds);
    std::exit(1);
}

/// The descriptors and their tokens. For a reply a descriptor has to be readable and writable, so
/// it is one end of a pair of Unix sockets. A token comes in by the other end, which nobody
/// watches: otherwise the reader of a byte would wake the watcher of its sender by the room that it
/// makes, which sockets of TCP don't do for single bytes.
class Ring {
public:
    /// A buffer of this size is never filled by a read, which tells an edge-triggered loop that
    /// nothing is left (epoll(7), question 9).
    static constexpr size_t read_size = 64;

    Ring(const Shape& shape, Variant variant)
        : shape_(shape),
          ends_(static_cast<size_t>(shape.pipes)),
          held_(static_cast<size_t>(shape.pipes)) {
        for (Ends& ends : ends_) {
            int both[2];
            if (variant == Variant::reply) {
                must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both),
                     "socketpair");
            } else {
                must(::pipe2(both, O_NONBLOCK | O_CLOEXEC), "pipe2");
            }
            ends = {both[0], both[1]};
        }
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
        for (const Ends& ends : ends_) {
            ::close(ends.watched);
            ::close(ends.entrance);
        }
    }

    int pipes() const { return shape_.pipes; }
    size_t size() const { return ends_.size(); }
    /// The descriptor to watch.
    int watched(int pipe) const { return ends_[static_cast<size_t>(pipe)].watched; }

    /// Puts the tokens in. After so many passes, a multiple of their number, all have been taken
    /// out again.
    void launch(uint64_t passes) {
        passes_ = passes;
        put_in_ = handled_ = checksum_ = 0;
        for (int pipe = 0; pipe < shape_.active; ++pipe) put(pipe, token(pipe));
    }

    // Inlined everywhere, so that no contender pays for a call that another one is spared.

    /// Takes the token out of a descriptor that is readable, for give().
    [[gnu::always_inline]] void take(int pipe) { held_[static_cast<size_t>(pipe)] = read(pipe); }
    /// The same for a token that the contender has read.
    [[gnu::always_inline]] void accept(int pipe, const char* bytes, ssize_t count) {
        if (count != 1) fail("read");
        held_[static_cast<size_t>(pipe)] = bytes[0];
    }
    /// Passes the token that was taken on to the next descriptor of its share. False: this was the
    /// last pass, leave the loop.
    [[gnu::always_inline]] bool give(int pipe) {
        return pass_on(pipe, held_[static_cast<size_t>(pipe)]);
    }
    /// Both at once.
    [[gnu::noinline]] bool pass(int pipe) { return pass_on(pipe, read(pipe)); }

    /// How many tokens were passed on, and a sum of what they were and where.
    uint64_t handled() const { return handled_; }
    uint64_t checksum() const { return checksum_; }

private:
    struct Ends {
        int watched;
        int entrance;
    };

    static char token(int number) { return static_cast<char>(1 + number % 100); }

    [[gnu::always_inline]] char read(int pipe) const {
        char bytes[read_size];
        if (::read(watched(pipe), bytes, sizeof bytes) != 1) fail("read");
        return bytes[0];
    }
    [[gnu::always_inline]] bool pass_on(int pipe, char byte) {
        const int next = pipe + shape_.active;
        put(next < shape_.pipes ? next : next - shape_.pipes, byte);
        checksum_ += static_cast<uint64_t>(pipe) << 8 | static_cast<unsigned char>(byte);
        return ++handled_ < passes_;
    }

    // The last tokens aren't put in any more, so that the ring is empty at the end.
    [[gnu::always_inline]] void put(int pipe, char byte) {
        if (put_in_ == passes_) return;
        ++put_in_;
        if (::write(ends_[static_cast<size_t>(pipe)].entrance, &byte, 1) != 1) fail("write");
    }

    Shape shape_;
    std::vector<Ends> ends_;
    std::vector<char> held_;
    uint64_t checksum_ = 0;
    uint64_t passes_ = 0;
    uint64_t put_in_ = 0;
    uint64_t handled_ = 0;
};

}  // namespace bench
