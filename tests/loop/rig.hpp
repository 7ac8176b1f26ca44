// SPDX-License-Identifier: BSL-1.0
#pragma once
// A loop on any poller, with descriptors that are closed at the end of the case. On a ManualPoller
// the world is at hand too, so that a case can script readiness and count calls. KERNEL_CASE makes
// a case for every poller.
//
// Descriptors become ready by what is done to them (a byte sent, an end closed): nothing here
// waits.

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rondo/loop/event_loop.hpp>

#include "support/catch.hpp"
#include "support/manual_poller.hpp"
#include "support/pollers.hpp"

namespace rondo::test {

/// What a handler throws in these tests.
struct Thrown : std::runtime_error {
    Thrown() : std::runtime_error("thrown by a handler") {}
};

template <class P, class M = Malloc>
class Rig {
public:
    using Loop = EventLoop<P, NoObserver, M>;

    Rig() = default;
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;
    ~Rig() {
        while (!owned_.empty()) close(owned_.back());
    }

    /// A pipe; its first end becomes readable by send() to the second.
    FdPair pipe() { return own(loop.sockets().pipe().value()); }
    FdPair pair() { return own(loop.sockets().pair(SocketKind::stream).value()); }
    /// A descriptor that is readable and stays so until it is drained.
    int readable() {
        const FdPair ends = pipe();
        send(ends.second);
        return ends.first;
    }
    /// Sends itself bytes: readable and writable.
    int ready_pair() {
        const FdPair ends = pair();
        send(ends.second);
        return ends.first;
    }
    void send(int fd) {
        const std::byte byte{42};
        REQUIRE(loop.sockets().write(fd, {&byte, 1}));
    }
    void drain(int fd) {
        std::byte bytes[64];
        for (IoResult got = loop.sockets().read(fd, bytes); got && got.bytes != 0;) {
            got = loop.sockets().read(fd, bytes);
        }
    }
    void close(int fd) {
        std::erase(owned_, fd);
        loop.sockets().close(fd);
    }
    int own(int fd) {
        owned_.push_back(fd);
        return fd;
    }
    /// Somebody else has closed it.
    void disown(int fd) { std::erase(owned_, fd); }

    // With a ManualPoller only.
    auto& world() { return loop.poller().world(); }
    /// A descriptor that is in a state until told otherwise.
    int scripted(Readiness state = Readiness::none) {
        const int fd = own(world().open_scripted());
        if (state != Readiness::none) world().set_ready(fd, state);
        return fd;
    }

    Loop loop;

private:
    FdPair own(FdPair ends) {
        own(ends.first);
        own(ends.second);
        return ends;
    }

    std::vector<int> owned_;
};

using ManualRig = Rig<ManualPoller>;

/// Does something when it is destroyed, once, wherever it was moved to.
template <class F>
class AtEnd {
public:
    explicit AtEnd(F action) : action_(std::move(action)) {}
    AtEnd(AtEnd&& other) noexcept
        : action_(std::move(other.action_)), armed_(std::exchange(other.armed_, false)) {}
    AtEnd& operator=(AtEnd&&) = delete;
    ~AtEnd() {
        if (armed_) action_();
    }

private:
    F action_;
    bool armed_ = true;
};

}  // namespace rondo::test

#define KERNEL_CASE(title, tags) \
    TEMPLATE_LIST_TEST_CASE(title, tags "[kernel]", ::rondo::test::ThreadedPollers)
