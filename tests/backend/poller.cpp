// SPDX-License-Identifier: BSL-1.0
// What the compiler checks of a poller. The rest of the contract is in conformance.cpp.
#include <rondo/backend/poller.hpp>

#include "support/archetype.hpp"
#include "support/catch.hpp"

using namespace rondo;
using rondo::test::Archetype;
using rondo::test::ArchetypeSockets;
using rondo::test::ArchetypeSystem;

namespace {

struct NoTraits : Archetype {
    using traits = int;
};
struct NoWake : Archetype {
    void wake() = delete;
};
struct ThrowingWake : Archetype {
    void wake() {}
};
struct CountsOnly : Archetype {
    size_t wait(std::span<Event>, Instant) { return 0; }
};
struct OtherEvent : Archetype {
    struct Event {};
};
struct NoPipe : ArchetypeSockets {
    void pipe() = delete;
};
struct OtherSockets : Archetype {
    using Sockets = NoPipe;
};
struct NoV6Only : ArchetypeSockets {
    void set_v6_only(int, bool) = delete;
};
struct NoNonBlocking : ArchetypeSockets {
    void set_non_blocking(int, bool) = delete;
};
struct NoChildren : ArchetypeSystem {
    void reap_child(int) = delete;
};
struct WithHandle : Archetype {
    static constexpr PollerTraits traits{.native_handle = true};
    int native_handle() noexcept { return 3; }
};

}  // namespace

TEST_CASE("the archetype is a poller and has nothing that it may lack") {
    STATIC_REQUIRE(Poller<Archetype>);
    STATIC_REQUIRE_FALSE(HasNativeHandle<Archetype>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Archetype>);
    STATIC_REQUIRE_FALSE(std::is_default_constructible_v<Archetype>);
}

TEST_CASE("a type that lacks one member is no poller") {
    STATIC_REQUIRE_FALSE(Poller<NoTraits>);
    STATIC_REQUIRE_FALSE(Poller<NoWake>);
    STATIC_REQUIRE_FALSE(Poller<OtherEvent>);
    STATIC_REQUIRE_FALSE(Poller<OtherSockets>);
    STATIC_REQUIRE_FALSE(SocketOptions<NoV6Only>);
    STATIC_REQUIRE_FALSE(SocketOptions<NoNonBlocking>);
    STATIC_REQUIRE_FALSE(SystemApi<NoChildren>);
}

TEST_CASE("waking may not throw and a wait may not hide its error") {
    STATIC_REQUIRE_FALSE(Poller<ThrowingWake>);
    STATIC_REQUIRE_FALSE(ReadinessSource<CountsOnly>);
}

TEST_CASE("a native handle takes the function and the trait") {
    STATIC_REQUIRE(HasNativeHandle<WithHandle>);
}

TEST_CASE("the traits of a new poller promise nothing") {
    constexpr PollerTraits none;
    STATIC_REQUIRE_FALSE(none.edge);
    STATIC_REQUIRE_FALSE(none.priority);
    STATIC_REQUIRE_FALSE(none.read_closed);
    STATIC_REQUIRE_FALSE(none.native_handle);
    STATIC_REQUIRE_FALSE(none.files_always_ready);
    STATIC_REQUIRE(none.fd_limit == 0);
}
