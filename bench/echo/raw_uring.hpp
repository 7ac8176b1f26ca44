// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on io_uring's completions, for what is possible beside readiness. The kernel
// chooses a buffer when bytes are there (a provided-buffer ring). A message is sent and the next
// one asked for in one linked pair, so that a turn of the loop is one system call.
//
// A buffer is in use until it is sent, so that it can't be one for all: 256 of 64 KiB, in bulk
// faster than 16 KiB. What the kernel keeps for a waiting request is no memory of the process.

#include <fcntl.h>
#include <liburing.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/echo/server.hpp"

namespace bench {

class RawUringEcho {
public:
    RawUringEcho(int listener, size_t clients) : listener_(listener), clients_(clients) {
        const int result = open(ring_, buffer_ring_);
        if (result < 0) stop(result, "io_uring");
        io_uring_buf_ring_init(buffers());
        std::memset(bytes_.data(), 0, bytes_.size());  // the pages are there from the start
        for (size_t i = 0; i < count; ++i) give_back(i);
        io_uring_buf_ring_advance(buffers(), std::exchange(given_back_, 0));
        // On a non-blocking socket, accepting would fail instead of waiting.
        const int flags = must(::fcntl(listener, F_GETFL), "fcntl");
        must(::fcntl(listener, F_SETFL, flags & ~O_NONBLOCK), "fcntl");
    }
    RawUringEcho(const RawUringEcho&) = delete;
    RawUringEcho& operator=(const RawUringEcho&) = delete;
    ~RawUringEcho() { io_uring_queue_exit(&ring_); }

    /// Why this machine doesn't permit it, an errno; or 0.
    static int refusal() {
        io_uring ring{};
        ReadBuffer buffer_ring(ring_bytes);
        const int result = open(ring, buffer_ring);
        if (result == 0) io_uring_queue_exit(&ring);
        return -result;
    }

    void run() {
        accept();
        while (gone_ < clients_) {
            const int result = io_uring_submit_and_wait(&ring_, 1);
            if (result < 0 && result != -EINTR) stop(result, "io_uring_enter");
            unsigned head = 0;
            unsigned seen = 0;
            io_uring_cqe* cqe = nullptr;
            io_uring_for_each_cqe(&ring_, head, cqe) {
                complete(*cqe);
                ++seen;
            }
            io_uring_cq_advance(&ring_, seen);
            if (given_back_ == 0) continue;
            io_uring_buf_ring_advance(buffers(), std::exchange(given_back_, 0));
            for (const int fd : std::exchange(hungry_, {})) receive_more(fd, 0);
        }
    }

private:
    enum Operation : uint64_t { accepting, receiving, sending };

    static constexpr size_t count = 256;
    static constexpr size_t size = size_t{64} * 1024;
    static constexpr size_t ring_bytes = count * sizeof(io_uring_buf);
    static_assert(ring_bytes % 4096 == 0);

    [[noreturn]] static void stop(int result, const char* call) {
        errno = -result;
        fail(call);
    }

    // 0, or -errno and nothing is left open.
    static int open(io_uring& ring, ReadBuffer& buffer_ring) {
        constexpr unsigned one_thread = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        int result = io_uring_queue_init(entries, &ring, one_thread);
        if (result == -EINVAL) result = io_uring_queue_init(entries, &ring, 0);  // Linux 6.0
        if (result < 0) return result;
        io_uring_buf_reg wanted{};
        wanted.ring_addr = reinterpret_cast<uintptr_t>(buffer_ring.data());
        wanted.ring_entries = count;
        result = io_uring_register_buf_ring(&ring, &wanted, 0);
        if (result < 0) io_uring_queue_exit(&ring);
        return result;
    }

    io_uring_buf_ring* buffers() {
        return reinterpret_cast<io_uring_buf_ring*>(buffer_ring_.data());
    }
    char* buffer(size_t index) { return bytes_.data() + index * size; }

    void give_back(size_t index) {
        io_uring_buf_ring_add(buffers(), buffer(index), size, static_cast<unsigned short>(index),
                              io_uring_buf_ring_mask(count), given_back_++);
    }

    // A linked pair must be submitted together.
    void make_room() {
        if (io_uring_sq_space_left(&ring_) >= 2) return;
        const int result = io_uring_submit(&ring_);
        if (result < 0) stop(result, "io_uring_submit");
    }

    static void mark(io_uring_sqe* entry, int fd, Operation operation) {
        io_uring_sqe_set_data64(entry, static_cast<uint64_t>(fd) << 2 | operation);
    }

    void accept() {
        make_room();
        io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
        io_uring_prep_accept(entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
        mark(entry, listener_, accepting);
    }

    void receive_more(int fd, uint16_t flags) {
        make_room();
        io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
        io_uring_prep_recv(entry, fd, nullptr, size, 0);
        entry->ioprio = flags;
        entry->flags = IOSQE_BUFFER_SELECT;
        mark(entry, fd, receiving);
    }

    void complete(const io_uring_cqe& done) {
        const int fd = static_cast<int>(done.user_data >> 2);
        switch (static_cast<Operation>(done.user_data & 3)) {
            case accepting:
                return accepted(done.res);
            case receiving:
                return received(fd, done);
            case sending:
                if (done.res < 0 && !is_end(-done.res)) stop(done.res, "send");
                return give_back(held_[static_cast<size_t>(fd)]);
        }
    }

    void accepted(int fd) {
        if (fd < 0) stop(fd, "accept");
        const auto number = static_cast<size_t>(fd);
        if (held_.size() <= number) held_.resize(2 * number);
        receive_more(fd, IORING_RECVSEND_POLL_FIRST);
        accept();
    }

    void received(int fd, const io_uring_cqe& done) {
        if (done.res > 0) return echo(fd, done);
        if (done.res == -ENOBUFS) return hungry_.push_back(fd);
        // Cancelled: the message before could not be sent.
        if (done.res != -ECANCELED && !is_end(-done.res)) stop(done.res, "recv");
        must(::close(fd), "close");
        ++gone_;
    }

    void echo(int fd, const io_uring_cqe& done) {
        const auto index = static_cast<uint16_t>(done.flags >> IORING_CQE_BUFFER_SHIFT);
        held_[static_cast<size_t>(fd)] = index;
        make_room();
        io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
        // With MSG_WAITALL the kernel sends all, or the linked request is cancelled.
        io_uring_prep_send(entry, fd, buffer(index), static_cast<size_t>(done.res),
                           MSG_WAITALL | MSG_NOSIGNAL);
        entry->flags = IOSQE_IO_LINK;
        mark(entry, fd, sending);
        const bool more = (done.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
        receive_more(fd, more ? uint16_t{0} : uint16_t{IORING_RECVSEND_POLL_FIRST});
    }

    static constexpr unsigned entries = 4096;

    int listener_;
    size_t clients_;
    size_t gone_ = 0;
    io_uring ring_{};
    ReadBuffer buffer_ring_{ring_bytes};
    ReadBuffer bytes_{count * size};
    int given_back_ = 0;          // buffers that the kernel isn't told of yet
    std::vector<uint16_t> held_;  // the buffer that is being sent, by descriptor
    std::vector<int> hungry_;     // bytes were there, but no buffer
};

inline void serve_raw_uring(int listener, size_t clients) { RawUringEcho(listener, clients).run(); }

}  // namespace bench
