// SPDX-License-Identifier: BSL-1.0
// Built without exceptions and RTTI, this must link with the C compiler alone: core, loop and the
// pollers need nothing of libstdc++. It runs one of each kind of event, and exits with 0 if they
// came.

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>
#include <rondo/backend/select_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include <span>

namespace {

template <class Poller>
bool all_kinds_of_events_come() {
    rondo::EventLoop<Poller> loop;
    auto& sockets = loop.sockets();
    const auto ends = sockets.pair(rondo::SocketKind::stream);
    if (!ends) return false;
    int seen = 0;
    auto remote = loop.remote();
    const auto added = loop.add(ends->second, rondo::Interest::read, [&] {
        seen |= 1;
        loop.remove(ends->second);
        sockets.close(ends->first);
        sockets.close(ends->second);
    });
    loop.after(rondo::Duration::milliseconds(1), [&] {
        seen |= 2;
        const char byte[] = {'!'};
        if (!sockets.write(ends->first, std::as_bytes(std::span(byte)))) loop.stop();
    });
    const auto ticker = loop.every(rondo::Duration::microseconds(10), [] {});
    loop.background(ticker, true);
    remote.post([&] {
        seen |= 4;
        loop.background(remote, true);
    });
    loop.defer([&] { seen |= 8; });
    loop.run();
    loop.cancel(ticker);
    return added && seen == 15;
}

template <class... Pollers>
bool all_kinds_of_events_come_with_each() {
    return (all_kinds_of_events_come<Pollers>() && ...);
}

}  // namespace

int main() {
    const bool came = all_kinds_of_events_come_with_each<
#if RONDO_HAS_EPOLL
        rondo::EpollPoller,
#endif
        rondo::PollPoller, rondo::SelectPoller>();
    return came ? 0 : 1;
}
