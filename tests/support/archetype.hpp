// SPDX-License-Identifier: BSL-1.0
#pragma once
// The least type that models Poller: every member that the concepts ask for and not one more. What
// compiles with it asks nothing of a poller that <rondo/backend/poller.hpp> doesn't promise. It is
// never run; a real poller starts from it by copying.

#include <rondo/backend/poller.hpp>

namespace rondo::test {

struct ArchetypeEvent {
    Token token() const noexcept { return Token::wake_up(); }
    Readiness readiness() const noexcept { return Readiness::none; }
};

struct ArchetypeSockets {
    ArchetypeSockets() = delete;
    ArchetypeSockets(const ArchetypeSockets&) = delete;

    Result<int> open(Family, SocketKind) { return -1; }
    Result<FdPair> pair(SocketKind) { return FdPair(); }
    Result<FdPair> pipe() { return FdPair(); }
    Result<void> bind(int, const Endpoint&) { return {}; }
    Result<void> listen(int, const Endpoint&, int) { return {}; }
    Result<int> listen_on(const Endpoint&, const ListenOptions&) { return -1; }
    Result<Accepted> accept(int) { return Accepted(); }
    Result<void> connect(int, const Endpoint&) { return {}; }
    Result<int> connect_to(const Endpoint&, const ConnectOptions&) { return -1; }
    Result<void> shutdown(int, Shutdown) { return {}; }
    void close(int) noexcept {}
    Result<Endpoint> local(int) { return Endpoint(); }
    Result<Endpoint> peer(int) { return Endpoint(); }
    int error(int) noexcept { return 0; }

    IoResult read(int, std::span<std::byte>) noexcept { return {}; }
    IoResult write(int, std::span<const std::byte>) noexcept { return {}; }
    IoResult writev(int, std::span<const ConstBuffer>) noexcept { return {}; }
    IoResult send_to(int, std::span<const std::byte>, const Endpoint&) noexcept { return {}; }
    IoResult receive_from(int, std::span<std::byte>, Datagram&) noexcept { return {}; }
    BatchResult receive_batch(int, std::span<std::byte>, size_t, std::span<Datagram>) noexcept {
        return {};
    }
    BatchResult send_batch(int, std::span<const OutDatagram>) noexcept { return {}; }

    Result<void> set_reuse_address(int, bool) { return {}; }
    Result<void> set_reuse_port(int, bool) { return {}; }
    Result<void> set_v6_only(int, bool) { return {}; }
    Result<void> set_no_delay(int, bool) { return {}; }
    static constexpr bool inherits_no_delay = false;
    Result<void> set_keep_alive(int, const KeepAlive&) { return {}; }
    Result<void> set_send_timeout(int, Duration) { return {}; }
    Result<void> set_receive_timeout(int, Duration) { return {}; }
    Result<void> set_send_buffer(int, int) { return {}; }
    Result<void> set_receive_buffer(int, int) { return {}; }
    Result<void> set_linger_reset(int, bool) { return {}; }
    Result<void> set_mark(int, uint32_t) { return {}; }
    Result<void> set_non_blocking(int, bool) { return {}; }
    Result<void> set_broadcast(int, bool) { return {}; }

    Result<void> join(int, const Endpoint&, uint32_t) { return {}; }
    Result<void> leave(int, const Endpoint&, uint32_t) { return {}; }
    Result<void> join_source(int, const Endpoint&, const Endpoint&, uint32_t) { return {}; }
    Result<void> leave_source(int, const Endpoint&, const Endpoint&, uint32_t) { return {}; }
    Result<void> set_multicast_hops(int, Family, int) { return {}; }
    Result<void> set_multicast_loop(int, Family, bool) { return {}; }
    Result<void> set_multicast_interface(int, Family, uint32_t) { return {}; }
    Result<bool> listens(int) { return false; }
};

struct ArchetypeSystem {
    ArchetypeSystem() = delete;
    ArchetypeSystem(const ArchetypeSystem&) = delete;

    uintptr_t thread_token() noexcept { return 1; }
    bool single_threaded() noexcept { return false; }
    Result<int> open_signals() { return -1; }
    Result<void> add_signal(int) { return {}; }
    void remove_signal(int) noexcept {}
    uint64_t take_signals() noexcept { return 0; }
    Result<int> watch_child(int) { return -1; }
    Result<ChildStatus> reap_child(int) { return ChildStatus(); }
    void unwatch_child(int, int) noexcept {}
    Result<size_t> resolve(const char*, uint16_t, Family, std::span<Endpoint>) noexcept {
        return Error(no_such_name, "resolve");
    }
    Result<void> pin_thread(int) { return {}; }
    Result<int> inherited_fds() { return 0; }
    void abandon() noexcept {}
};

class Archetype {
public:
    using Event = ArchetypeEvent;
    using Sockets = ArchetypeSockets;
    using System = ArchetypeSystem;

    static constexpr PollerTraits traits{};
    static constexpr const char* name() noexcept { return "archetype"; }

    static Result<Archetype> open() { return Archetype(); }
    Archetype(Archetype&&) = default;
    Archetype& operator=(Archetype&&) = default;

    Result<void> add(int, Interest, Token) { return {}; }
    Result<void> modify(int, Interest, Interest, Token) { return {}; }
    Result<void> remove(int, Interest) { return {}; }
    Result<size_t> wait(std::span<Event>, Instant) { return size_t{0}; }
    void wake() noexcept {}
    Instant now() noexcept { return {}; }
    Sockets& sockets() noexcept { return *sockets_; }
    System& system() noexcept { return *system_; }
    Result<void> reopen() { return {}; }
    void abandon() noexcept {}

private:
    Archetype() = default;

    Sockets* sockets_ = nullptr;
    System* system_ = nullptr;
};

static_assert(Poller<Archetype> && !HasNativeHandle<Archetype>);

}  // namespace rondo::test
