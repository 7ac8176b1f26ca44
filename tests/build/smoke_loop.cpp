// SPDX-License-Identifier: BSL-1.0
// A little of loop on every poller: what must work in every way of building the library.

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>
#include <rondo/backend/select_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include <span>
#include <tuple>

#include "support/catch.hpp"

namespace {

using Pollers = std::tuple<
#if RONDO_HAS_EPOLL
    rondo::EpollPoller,
#endif
    rondo::PollPoller, rondo::SelectPoller>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a loop runs descriptors, timers and tasks, in every build",
                        "[smoke][kernel]", Pollers) {
    rondo::EventLoop<TestType> loop;
    auto& sockets = loop.sockets();
    const auto ends = sockets.pair(rondo::SocketKind::stream);
    REQUIRE(ends);
    int fires = 0;
    int reads = 0;
    int tasks = 0;
    REQUIRE(loop.add(ends->second, rondo::Interest::read, [&] {
        ++reads;
        loop.remove(ends->second);
    }));
    CHECK(loop.after(rondo::Duration::milliseconds(1), [&] {
        ++fires;
        const char sent[] = {'!'};
        CHECK(sockets.write(ends->first, std::as_bytes(std::span(sent))));
    }));
    CHECK(loop.post([&] { ++tasks; }));
    loop.run();
    CHECK(fires == 1);
    CHECK(reads == 1);
    CHECK(tasks == 1);
    sockets.close(ends->first);
    sockets.close(ends->second);
}
