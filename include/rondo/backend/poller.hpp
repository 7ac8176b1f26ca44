// SPDX-License-Identifier: BSL-1.0
#pragma once
// The seam between a loop and an operating system: what a poller must be. A type that models
// Poller supplies readiness, the clock, the socket calls and a few services of the system, so that
// EventLoop<YourPoller> runs on it unchanged. A poller never holds or calls a handler, knows
// nothing of timers, and keeps only what its own kernel call needs; the loop remembers interests
// and merges their changes.
//
// The compiler checks the members below. It can't check the following, so a conformance suite does,
// with at least one test per number, for every poller (tests/backend/conformance*.cpp).
//
// P1  Time. now() never goes back. wait() returns by the deadline rounded up to what the kernel can
//     do, never before it, unless there is an event or a wake-up. Instant::max() waits for ever, a
//     deadline in the past asks without blocking, and a huge one saturates: a wait that the kernel
//     cuts short (24 days for epoll_wait) returns no events.
//
// P2  Changes. add, modify and remove are one system call each and act at once (a ring may hand
//     them over with the next wait). Errors of add come back from the call and change nothing:
//     EBADF for a descriptor that isn't open, EEXIST for one that is there already, ERANGE beyond
//     traits.fd_limit, ENOTSUP for edge or priority where the traits say no, EPERM for a regular
//     file unless traits.files_always_ready. modify answers ENOTSUP for priority alone, and also
//     changes nothing then: edge is fixed by add (P4). modify and remove of a descriptor that isn't
//     there answer ENOENT (or EBADF). The caller removes a descriptor before closing it, unless
//     traits.closing_removes: then closing alone ends the registration, for as long as no duplicate
//     of the descriptor lives.
//
// P3  Tokens. An event carries the token of the registration that it is for, as last given to add
//     or modify. After remove and a new add of the same number no event carries the old token,
//     except those that the previous wait has already handed out. Token::wake_up() is never a
//     registration: an event that carries it is to be ignored.
//
// P4  Level and edge. Without Interest::edge a state is reported by every wait for as long as it
//     lasts. With it, a change is reported once; modify (from == to included) reports a state that
//     still lasts again. Interest::oneshot reports once and then keeps the registration, silent in
//     all directions, until the next modify; a poller whose kernel has no such thing emulates it.
//     Both modes are fixed by add.
//
// P5  Hang-up and error. They are reported whatever directions are enabled, as long as one is. With
//     none enabled nothing is reported and nothing spins, also when the peer is gone. Readiness
//     tells readable, writable, priority, read-closed, hang-up and error apart as far as the kernel
//     does; traits.read_closed says whether read_closed is among that.
//
// P6  Waking. wake() may be called by any thread, makes the current wait (or the next one, if none
//     is running) return without an event of a registration, and coalesces: many calls, one return.
//     It never blocks and can't fail.
//
// P7  Interruption. A wait interrupted by a signal returns no events, and no error. It is not
//     restarted: the caller computes its deadline anew.
//
// P8  Batches. wait() fills at most out.size() events, at least one if there is any; out is never
//     empty. When more are ready than fit, the following waits report the others: none is starved
//     by its neighbours.
//
// After fork, abandon() in the child gives up the kernel objects, system().abandon() included,
// without touching what the parent shares; afterwards the destructor and every other call make no
// system call, and what can answer an error does. reopen() replaces the kernel's set by an empty
// one and keeps the rest: the loop adds every registration again when the kernel's set has got out
// of hand (a descriptor closed while a duplicate lives).

#include <concepts>
#include <span>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/child_status.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/io_result.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// What a poller can and can't do. A conformance case is left out for a poller only because of one
/// of these.
struct PollerTraits {
    bool edge = false;           ///< Interest::edge works (else add answers ENOTSUP)
    bool priority = false;       ///< Interest::priority works (else ENOTSUP)
    bool read_closed = false;    ///< Readiness::read_closed is reported
    bool native_handle = false;  ///< native_handle() is a descriptor a foreign loop can wait on
    bool files_always_ready = false;  ///< a regular file is always ready (else add answers EPERM)
    bool closing_removes = false;     ///< closing ends a registration, without remove()
    bool kernel = true;               ///< time, threads and signals are those of a real kernel
    int fd_limit = 0;                 ///< descriptors must be below this; 0: no limit
};

/// A native event: filled by the kernel in place, read through two functions.
template <class E>
concept PollerEvent = std::default_initializable<E> && requires(const E& event) {
    { event.token() } noexcept -> std::same_as<Token>;
    { event.readiness() } noexcept -> std::same_as<Readiness>;
};

/// Opening, connecting and closing. Every descriptor is non-blocking and close-on-exec.
template <class S>
concept SocketLifecycle =
    requires(S& s, int fd, Family family, SocketKind kind, Shutdown how, const Endpoint& at,
             const ListenOptions& listen, const ConnectOptions& connect) {
        { s.open(family, kind) } -> std::same_as<Result<int>>;
        { s.pair(kind) } -> std::same_as<Result<FdPair>>;
        { s.pipe() } -> std::same_as<Result<FdPair>>;
        { s.bind(fd, at) } -> std::same_as<Result<void>>;
        {
            s.listen(fd, at, fd)
        } -> std::same_as<Result<void>>;  // fd, where (for the message), backlog
        { s.listen_on(at, listen) } -> std::same_as<Result<int>>;
        { s.accept(fd) } -> std::same_as<Result<Accepted>>;   // EAGAIN: none is waiting
        { s.connect(fd, at) } -> std::same_as<Result<void>>;  // EINPROGRESS: writable when finished
        { s.connect_to(at, connect) } -> std::same_as<Result<int>>;  // in progress or connected
        { s.shutdown(fd, how) } -> std::same_as<Result<void>>;
        { s.close(fd) } noexcept;
        { s.local(fd) } -> std::same_as<Result<Endpoint>>;
        { s.peer(fd) } -> std::same_as<Result<Endpoint>>;
        { s.error(fd) } noexcept -> std::same_as<int>;  // SO_ERROR: read and cleared; 0: none
    };

/// Moving bytes. An interrupted call is repeated; a write to a closed peer is EPIPE, never SIGPIPE.
template <class S>
concept SocketTransfer =
    requires(S& s, int fd, std::span<std::byte> in, std::span<const std::byte> out,
             std::span<const ConstBuffer> parts, const Endpoint& to, Datagram& from, size_t slot,
             std::span<Datagram> many_in, std::span<const OutDatagram> many_out) {
        { s.read(fd, in) } noexcept -> std::same_as<IoResult>;
        { s.write(fd, out) } noexcept -> std::same_as<IoResult>;
        { s.writev(fd, parts) } noexcept -> std::same_as<IoResult>;
        { s.send_to(fd, out, to) } noexcept -> std::same_as<IoResult>;
        { s.receive_from(fd, in, from) } noexcept -> std::same_as<IoResult>;
        // Datagram i goes to in[i * slot], slot bytes at most; as many as both spans have room for.
        { s.receive_batch(fd, in, slot, many_in) } noexcept -> std::same_as<BatchResult>;
        { s.send_batch(fd, many_out) } noexcept -> std::same_as<BatchResult>;
    };

/// Options of a socket.
template <class S>
concept SocketOptions = requires(S& s, int fd, bool on, int size, Duration timeout, uint32_t mark,
                                 const KeepAlive& keep_alive) {
    { s.set_reuse_address(fd, on) } -> std::same_as<Result<void>>;
    { s.set_reuse_port(fd, on) } -> std::same_as<Result<void>>;
    { s.set_v6_only(fd, on) } -> std::same_as<Result<void>>;
    { s.set_no_delay(fd, on) } -> std::same_as<Result<void>>;
    { S::inherits_no_delay } -> std::convertible_to<bool>;  // who is accepted, from who listens
    { s.set_keep_alive(fd, keep_alive) } -> std::same_as<Result<void>>;
    { s.set_send_timeout(fd, timeout) } -> std::same_as<Result<void>>;
    { s.set_receive_timeout(fd, timeout) } -> std::same_as<Result<void>>;
    { s.set_send_buffer(fd, size) } -> std::same_as<Result<void>>;
    { s.set_receive_buffer(fd, size) } -> std::same_as<Result<void>>;
    { s.set_linger_reset(fd, on) } -> std::same_as<Result<void>>;  // close() resets
    { s.set_mark(fd, mark) } -> std::same_as<Result<void>>;
    { s.set_non_blocking(fd, on) } -> std::same_as<Result<void>>;
    { s.set_broadcast(fd, on) } -> std::same_as<Result<void>>;
    { s.listens(fd) } -> std::same_as<Result<bool>>;  // a stream socket that accepts
};

/// Multicast. An interface is named by its index; 0 leaves the choice to the system. A group's port
/// is of no meaning.
template <class S>
concept SocketGroups = requires(S& s, int fd, Family family, const Endpoint& group,
                                const Endpoint& source, uint32_t interface, int hops, bool on) {
    { s.join(fd, group, interface) } -> std::same_as<Result<void>>;
    { s.leave(fd, group, interface) } -> std::same_as<Result<void>>;
    { s.join_source(fd, group, source, interface) } -> std::same_as<Result<void>>;
    { s.leave_source(fd, group, source, interface) } -> std::same_as<Result<void>>;
    { s.set_multicast_hops(fd, family, hops) } -> std::same_as<Result<void>>;
    { s.set_multicast_loop(fd, family, on) } -> std::same_as<Result<void>>;
    { s.set_multicast_interface(fd, family, interface) } -> std::same_as<Result<void>>;
};

/// The socket calls of a poller's world.
template <class S>
concept SocketApi = SocketLifecycle<S> && SocketTransfer<S> && SocketOptions<S> && SocketGroups<S>;

/// The services of a poller's world. Signals: open_signals() gives one descriptor, owned by the
/// system, that is readable when a signal given to add_signal has arrived; take_signals() drains it
/// and answers a set with bit (n - 1) for signal n. Children: watch_child gives a descriptor that
/// is readable once that child may have ended; reap_child answers EAGAIN if it hasn't. Names:
/// resolve() looks a name up and fills `out` with what fits of its addresses, the best one first,
/// and says how many; at least one, else a NameError. It may block, and it alone, with
/// thread_token(), may be called by any thread, and by several at once, while the poller exists.
template <class S>
concept SystemApi = requires(S& s, int number, const char* name, uint16_t port, Family family,
                             std::span<Endpoint> out) {
    { s.thread_token() } noexcept -> std::same_as<uintptr_t>;  // never 0; one per thread
    { s.single_threaded() } noexcept -> std::same_as<bool>;    // false: there may be others
    { s.open_signals() } -> std::same_as<Result<int>>;
    { s.add_signal(number) } -> std::same_as<Result<void>>;
    { s.remove_signal(number) } noexcept;
    { s.take_signals() } noexcept -> std::same_as<uint64_t>;
    { s.watch_child(number) } -> std::same_as<Result<int>>;
    { s.reap_child(number) } -> std::same_as<Result<ChildStatus>>;
    { s.unwatch_child(number, number) } noexcept;  // pid, the descriptor of watch_child
    { s.resolve(name, port, family, out) } noexcept -> std::same_as<Result<size_t>>;
    { s.pin_thread(number) } -> std::same_as<Result<void>>;  // the calling one, to a processor
    { s.inherited_fds() } -> std::same_as<Result<int>>;      // how many, from descriptor 3 on
    { s.abandon() } noexcept;
};

/// Readiness: the part of a poller that changes and waits.
template <class P>
concept ReadinessSource =
    PollerEvent<typename P::Event> && requires(P& p, int fd, Interest interest, Token token,
                                               std::span<typename P::Event> out, Instant deadline) {
        { p.add(fd, interest, token) } -> std::same_as<Result<void>>;
        { p.modify(fd, interest, interest, token) } -> std::same_as<Result<void>>;  // from, to
        { p.remove(fd, interest) } -> std::same_as<Result<void>>;                   // from
        { p.wait(out, deadline) } -> std::same_as<Result<size_t>>;
        { p.wake() } noexcept;
    };

/// A source of readiness, of time and of sockets. See P1 to P8 above for what the compiler can't
/// check.
/// Threads: wake() from any thread; everything else from the loop's thread.
template <class P>
concept Poller = ReadinessSource<P> && SocketApi<typename P::Sockets> &&
                 SystemApi<typename P::System> && std::movable<P> && requires(P& p) {
                     { P::open() } -> std::same_as<Result<P>>;
                     { P::name() } noexcept -> std::same_as<const char*>;
                     { P::traits } -> std::same_as<const PollerTraits&>;
                     { p.now() } noexcept -> std::same_as<Instant>;
                     { p.sockets() } noexcept -> std::same_as<typename P::Sockets&>;
                     { p.system() } noexcept -> std::same_as<typename P::System&>;
                     { p.reopen() } -> std::same_as<Result<void>>;
                     { p.abandon() } noexcept;
                 };

/// A poller whose descriptor a foreign loop can wait on.
template <class P>
concept HasNativeHandle = P::traits.native_handle && requires(P& p) {
    { p.native_handle() } noexcept -> std::same_as<int>;
};

}  // namespace rondo::inline RONDO_ABI
