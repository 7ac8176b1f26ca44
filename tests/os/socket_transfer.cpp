// SPDX-License-Identifier: BSL-1.0
// Moving bytes: ends, resets and full buffers are values, and no write ever raises SIGPIPE.

#include <rondo/os/socket_transfer.hpp>

#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <string>
#include <vector>

#include "os/socket_support.hpp"
#include "os/system_support.hpp"

using namespace sockets_test;
using rondo::ConstBuffer;
using rondo::Datagram;
using rondo::IoResult;

namespace {

struct Ends {
    explicit Ends(rondo::Result<rondo::FdPair> pair) {
        REQUIRE(pair);
        first.reset(pair->first);
        second.reset(pair->second);
    }
    Fd first;
    Fd second;
};

Fd udp(const Endpoint& at) {
    auto fd = PosixSockets::open(at.family(), SocketKind::datagram);
    REQUIRE(fd);
    REQUIRE(PosixSockets::bind(*fd, at));
    return Fd(*fd);
}

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

bool sigpipe_is(int (*question)(sigset_t*)) {
    sigset_t set;
    sigemptyset(&set);
    question(&set);
    return sigismember(&set, SIGPIPE) == 1;
}
bool is_pending() { return sigpipe_is(sigpending); }
bool is_blocked() {
    return sigpipe_is([](sigset_t* set) { return pthread_sigmask(SIG_BLOCK, nullptr, set); });
}

ConstBuffer buffer_of(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

TEST_CASE("what is written at one end is read at the other, on sockets and pipes") {
    const Ends pipe(PosixSockets::pipe());
    const Ends pair(PosixSockets::pair(SocketKind::stream));
    for (const Ends* const ends : {&pipe, &pair}) {
        const IoResult written = PosixSockets::write(ends->second.get(), bytes("hello"));
        REQUIRE(written);
        CHECK(written.bytes == 5);
        CHECK(read_text(ends->first.get()) == "hello");

        const ConstBuffer parts[] = {buffer_of("one "), buffer_of(""), buffer_of("two")};
        CHECK(PosixSockets::writev(ends->second.get(), parts).bytes == 7);
        CHECK(read_text(ends->first.get()) == "one two");
        CHECK(PosixSockets::write(ends->second.get(), {}));
        CHECK(PosixSockets::writev(ends->second.get(), {}));
    }
}

TEST_CASE("nothing to read and no room to write is would_block") {
    const Ends pipe(PosixSockets::pipe());
    const Ends pair(PosixSockets::pair(SocketKind::stream));
    for (const Ends* const ends : {&pipe, &pair}) {
        std::byte buffer[16];
        CHECK(PosixSockets::read(ends->first.get(), buffer).would_block());
        const std::string much(1 << 16, 'x');
        IoResult written;
        while ((written = PosixSockets::write(ends->second.get(), bytes(much)))) {
            REQUIRE(written.bytes > 0);
        }
        CHECK(written.would_block());
        const ConstBuffer part = buffer_of(much);
        CHECK(PosixSockets::writev(ends->second.get(), {&part, 1}).would_block());
    }
}

TEST_CASE("more parts than the system takes are a short write") {
    const std::vector<ConstBuffer> parts(rondo::detail::most_parts + 10, buffer_of("x"));
    const Ends pipe(PosixSockets::pipe());
    const Ends pair(PosixSockets::pair(SocketKind::stream));
    for (const Ends* const ends : {&pipe, &pair}) {
        const IoResult written = PosixSockets::writev(ends->second.get(), parts);
        REQUIRE(written);
        CHECK(written.bytes == rondo::detail::most_parts);
    }
}

TEST_CASE("the end of a stream is success with no bytes, and the other direction goes on") {
    const TcpPair tcp;
    REQUIRE(PosixSockets::write(tcp.client.get(), bytes("last")));
    REQUIRE(PosixSockets::shutdown(tcp.client.get(), rondo::Shutdown::write));
    CHECK(read_text(tcp.server.get()) == "last");
    CHECK(read_text(tcp.server.get()).empty());
    CHECK(PosixSockets::write(tcp.client.get(), bytes("more")).code == EPIPE);
    REQUIRE(PosixSockets::write(tcp.server.get(), bytes("answer")));
    CHECK(read_text(tcp.client.get()) == "answer");
}

TEST_CASE("reading and writing a closed descriptor is EBADF") {
    std::byte buffer[8];
    Datagram from;
    const ConstBuffer part = buffer_of("x");
    CHECK(PosixSockets::read(-1, buffer).code == EBADF);
    CHECK(PosixSockets::write(-1, bytes("x")).code == EBADF);
    CHECK(PosixSockets::writev(-1, {&part, 1}).code == EBADF);
    CHECK(PosixSockets::send_to(-1, bytes("x"), Endpoint::ipv4_loopback(1)).code == EBADF);
    CHECK(PosixSockets::receive_from(-1, buffer, from).code == EBADF);
    CHECK(PosixSockets::read(-1, buffer).error("read", -1).message() ==
          "read fd -1: bad file descriptor");
}

TEST_CASE("a write to a closed peer is EPIPE without a signal, on sockets and pipes") {
    const SigpipeCounter counter;
    Ends pipe(PosixSockets::pipe());
    Ends pair(PosixSockets::pair(SocketKind::stream));
    TcpPair tcp;
    pipe.first.reset();
    pair.first.reset();
    REQUIRE(PosixSockets::set_linger_reset(tcp.server.get(), true));
    tcp.server.reset();
    wait_for(tcp.client.get(), POLLIN);
    REQUIRE(PosixSockets::error(tcp.client.get()) == ECONNRESET);

    const ConstBuffer part = buffer_of("x");
    for (const int fd : {pipe.second.get(), pair.second.get(), tcp.client.get()}) {
        CHECK(PosixSockets::write(fd, bytes("x")).code == EPIPE);
        CHECK(PosixSockets::writev(fd, {&part, 1}).code == EPIPE);
    }
    CHECK(PosixSockets::send_to(pair.second.get(), bytes("x"), Endpoint()).code == EPIPE);
    CHECK(counter.count == 0);
    CHECK_FALSE(is_pending());
    CHECK_FALSE(is_blocked());
}

TEST_CASE("a kernel without RWF_NOSIGNAL raises no SIGPIPE either") {
    const SigpipeCounter counter;
    Ends pipe(PosixSockets::pipe());
    const iovec part = part_of("x");
    CHECK(rondo::detail::write_behind_mask(pipe.second.get(), &part, 1).bytes == 1);
    CHECK(read_text(pipe.first.get()) == "x");
    pipe.first.reset();
    CHECK(rondo::detail::write_behind_mask(pipe.second.get(), &part, 1).code == EPIPE);
    CHECK(counter.count == 0);
    CHECK_FALSE(is_pending());
    CHECK_FALSE(is_blocked());
}

TEST_CASE("a pipe is written on a kernel that refuses pwritev2 or its flag") {
    for (const int code : {EOPNOTSUPP, ENOSYS}) {
        CHECK(system_support::holds_in_child([code] {
            const auto pipe = PosixSockets::pipe();
            if (!pipe ||
                !system_support::filter_calls({SYS_pwritev2}, true,
                                              SECCOMP_RET_ERRNO | static_cast<unsigned>(code))) {
                return false;
            }
            if (PosixSockets::write(pipe->second, bytes("x")).bytes != 1) return false;
            PosixSockets::close(pipe->first);
            return PosixSockets::write(pipe->second, bytes("x")).code == EPIPE;
        }));
    }
}

TEST_CASE("a SIGPIPE that somebody blocks stays theirs") {
    const SigpipeCounter counter;
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, &before) == 0);
    Ends pipe(PosixSockets::pipe());
    pipe.first.reset();
    const iovec part = part_of("x");

    CHECK(rondo::detail::write_behind_mask(pipe.second.get(), &part, 1).code == EPIPE);
    CHECK_FALSE(is_pending());
    CHECK(is_blocked());

    raise(SIGPIPE);
    REQUIRE(is_pending());
    CHECK(rondo::detail::write_behind_mask(pipe.second.get(), &part, 1).code == EPIPE);
    CHECK(is_pending());

    const timespec at_once{};
    CHECK(sigtimedwait(&set, nullptr, &at_once) == SIGPIPE);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
    CHECK(counter.count == 0);
}

TEST_CASE("a peer that reset the connection is an error once, then the end") {
    TcpPair tcp;
    REQUIRE(PosixSockets::write(tcp.client.get(), bytes("unread")));
    wait_for(tcp.server.get(), POLLIN);
    tcp.server.reset();  // closing with unread bytes resets
    wait_for(tcp.client.get(), POLLIN);
    std::byte buffer[16];
    CHECK(PosixSockets::read(tcp.client.get(), buffer).code == ECONNRESET);
    const IoResult after = PosixSockets::read(tcp.client.get(), buffer);
    CHECK(after);
    CHECK(after.bytes == 0);
}

namespace {
volatile sig_atomic_t interruptions = 0;
volatile int interrupted_pipe = -1;
}  // namespace

TEST_CASE("an interrupted read goes on reading") {
    const Ends pipe(PosixSockets::pipe());
    REQUIRE(PosixSockets::set_non_blocking(pipe.first.get(), false));
    interruptions = 0;
    interrupted_pipe = pipe.second.get();
    // Without SA_RESTART each tick interrupts the read; the third brings the byte that it waits
    // for.
    const system_support::Disposed tick(SIGALRM, [](int) {
        interruptions = interruptions + 1;
        if (interruptions == 3 && ::write(interrupted_pipe, "x", 1) != 1) abort();
    });
    itimerval every{};
    every.it_interval.tv_usec = every.it_value.tv_usec = 1000;
    REQUIRE(setitimer(ITIMER_REAL, &every, nullptr) == 0);
    std::byte buffer[8];
    const IoResult got = PosixSockets::read(pipe.first.get(), buffer);
    every = {};
    setitimer(ITIMER_REAL, &every, nullptr);
    CHECK(got);
    CHECK(got.bytes == 1);
    CHECK(interruptions >= 3);
}

TEST_CASE("a datagram arrives with its sender") {
    const Fd a = udp(Endpoint::ipv4_loopback(0));
    const Fd b = udp(Endpoint::ipv4_loopback(0));
    const Endpoint to = *PosixSockets::local(b.get());
    REQUIRE(PosixSockets::send_to(a.get(), bytes("ping"), to).bytes == 4);
    wait_for(b.get(), POLLIN);
    std::byte buffer[16];
    Datagram from;
    const IoResult got = PosixSockets::receive_from(b.get(), buffer, from);
    REQUIRE(got);
    CHECK(got.bytes == 4);
    CHECK(from.bytes == 4);
    CHECK_FALSE(from.truncated);
    CHECK(from.peer == *PosixSockets::local(a.get()));
    CHECK(PosixSockets::receive_from(b.get(), buffer, from).would_block());
}

TEST_CASE("a datagram longer than the buffer is told as truncated") {
    const Fd a = udp(Endpoint::ipv4_loopback(0));
    const Endpoint at = *PosixSockets::local(a.get());
    REQUIRE(PosixSockets::send_to(a.get(), bytes("long one"), at));
    REQUIRE(PosixSockets::send_to(a.get(), bytes("next"), at));
    wait_for(a.get(), POLLIN);
    std::byte buffer[4];
    Datagram from;
    REQUIRE(PosixSockets::receive_from(a.get(), buffer, from).bytes == 4);
    CHECK(from.bytes == 4);
    CHECK(from.truncated);
    REQUIRE(PosixSockets::receive_from(a.get(), buffer, from).bytes == 4);
    CHECK_FALSE(from.truncated);
    CHECK(buffer[0] == std::byte{'n'});
}

TEST_CASE("an empty datagram is a datagram") {
    const Fd a = udp(Endpoint::ipv4_loopback(0));
    REQUIRE(PosixSockets::send_to(a.get(), {}, *PosixSockets::local(a.get())));
    wait_for(a.get(), POLLIN);
    std::byte buffer[4];
    Datagram from;
    const IoResult got = PosixSockets::receive_from(a.get(), buffer, from);
    CHECK(got);
    CHECK(got.bytes == 0);
    CHECK(from.peer == *PosixSockets::local(a.get()));
}

TEST_CASE("a datagram that can't be sent says why") {
    const Fd a = udp(Endpoint::ipv4_loopback(0));
    const std::string much(70000, 'x');
    CHECK(PosixSockets::send_to(a.get(), bytes(much), *PosixSockets::local(a.get())).code ==
          EMSGSIZE);
    CHECK(PosixSockets::send_to(a.get(), bytes("x"), Endpoint()).code == EDESTADDRREQ);
    CHECK(PosixSockets::send_to(a.get(), bytes("x"), Endpoint::unix_unnamed()).code == EINVAL);
}

TEST_CASE("a connected datagram socket hears that nobody listens") {
    const Fd a = udp(Endpoint::ipv4_loopback(0));
    {
        const Fd gone = udp(Endpoint::ipv4_loopback(0));
        REQUIRE(PosixSockets::connect(a.get(), *PosixSockets::local(gone.get())));
    }
    REQUIRE(PosixSockets::send_to(a.get(), bytes("anybody?"), Endpoint()));
    wait_for(a.get(), POLLIN);
    std::byte buffer[16];
    Datagram from;
    CHECK(PosixSockets::receive_from(a.get(), buffer, from).code == ECONNREFUSED);
}

TEST_CASE("a Unix datagram tells its sender's path or name, or none") {
    const Directory directory;
    const Endpoint here = *Endpoint::unix_path(directory.file("here"));
    const Endpoint there = *Endpoint::unix_path(directory.file("there"));
    const Fd a = udp(here);
    const Fd b = udp(there);
    const auto nameless = PosixSockets::open(Family::unix_path, SocketKind::datagram);
    REQUIRE(nameless);
    const Fd c(*nameless);
    std::byte buffer[16];
    Datagram from;
    REQUIRE(PosixSockets::send_to(a.get(), bytes("x"), there));
    REQUIRE(PosixSockets::receive_from(b.get(), buffer, from));
    CHECK(from.peer == here);
    const std::string name = "rondo-test-sender-" + std::to_string(getpid());
    const Fd d = udp(*Endpoint::unix_abstract(name));
    REQUIRE(PosixSockets::send_to(d.get(), bytes("x"), there));
    REQUIRE(PosixSockets::receive_from(b.get(), buffer, from));
    CHECK(from.peer == *Endpoint::unix_abstract(name));
    REQUIRE(PosixSockets::send_to(c.get(), bytes("x"), there));
    REQUIRE(PosixSockets::receive_from(b.get(), buffer, from));
    CHECK_FALSE(from.peer);
}
