// SPDX-License-Identifier: BSL-1.0
// Connections to which owners of bytes are moved in: what they own, and what their end may do.

#include <errno.h>

#include <functional>
#include <span>
#include <string>
#include <utility>

#include <rondo/net/connections.hpp>

#include "net/connection_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {
/// Owns bytes, and says when they are let go. It is no range, and its size is an int.
struct Parcel {
    explicit Parcel(std::string bytes, std::function<void()> end = {})
        : text(std::move(bytes)), gone(std::move(end)) {}
    Parcel(Parcel&& other) noexcept
        : text(std::move(other.text)), gone(std::exchange(other.gone, {})) {}
    Parcel& operator=(Parcel&&) = delete;
    ~Parcel() {
        if (gone) gone();
    }
    const char* data() const noexcept { return text.data(); }
    int size() const noexcept { return static_cast<int>(text.size()); }

    std::string text;
    std::function<void()> gone;
};
static_assert(OwnsBytes<Parcel>);

/// Plain, but writes fail while it says so; and counts them.
struct Watched : Plain {
    int* writes = nullptr;
    const int* failure = nullptr;

    template <class Sockets>
    IoResult write(Sockets& sockets, int fd, std::span<const ConstBuffer> parts) const noexcept {
        if (writes != nullptr) ++*writes;
        if (failure != nullptr && *failure != 0) return {0, *failure};
        return Plain::write(sockets, fd, parts);
    }
};

const std::string large(1000, 'A');
}  // namespace

KERNEL_CASE("whatever owns bytes can be moved in, a range or not", "[connection]") {
    StreamRig<TestType> it;
    auto& connection = it.open();
    CHECK(connection.send(Parcel(large)));
    CHECK(connection.send(Parcel("small")));
    it.turns();
    CHECK(it.peer_hears() == large + "small");
}

KERNEL_CASE("the end of what was moved in may send, behind what has left with it", "[connection]") {
    StreamRig<TestType> it;
    it.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        connection.send(Parcel(large, [&] { connection.send("<next>"); }));
        connection.send(bytes);
    });
    it.open();
    it.peer_sends("echo");
    it.turns(5);
    CHECK(it.peer_hears() == large + "echo<next>");
    CHECK(it.closed == 0);
}

KERNEL_CASE("the end of what was moved in may send at once", "[connection]") {
    StreamRig<TestType> it;
    it.group.on_data([&](auto& connection, std::span<const std::byte>) {
        connection.send(Parcel(large, [&] {
            connection.send("<next>");
            connection.flush();
        }));
        connection.send(Parcel(pattern(1000)));
    });
    it.open();
    it.peer_sends("go");
    it.turns(5);
    CHECK(it.peer_hears() == large + pattern(1000) + "<next>");
    CHECK(it.closed == 0);
}

KERNEL_CASE("the end of what was moved in may abort", "[connection]") {
    StreamRig<TestType, NoState, Watched> it;
    int writes = 0;
    it.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        connection.send(Parcel(large, [&] { connection.abort(); }));
        connection.send(bytes);
    });
    it.open(Watched{{}, &writes});
    it.peer_sends("echo");
    it.turns(5);
    CHECK(writes == 1);
    CHECK(it.closed == 1);
    CHECK(it.reason == ECONNABORTED);
}

KERNEL_CASE("what ends because a write has failed can send no more", "[connection]") {
    StreamRig<TestType, NoState, Watched> it;
    int writes = 0;
    bool could = true;
    const int failure = EPIPE;
    auto& connection = it.open(Watched{{}, &writes, &failure});
    connection.send(Parcel(large, [&] { could = connection.send("<next>"); }));
    CHECK_FALSE(could);
    it.turns(5);
    CHECK(writes == 1);
    CHECK(it.closed == 1);
    CHECK(it.reason == EPIPE);
}
