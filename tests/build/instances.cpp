// SPDX-License-Identifier: BSL-1.0
// What tests/lint.sh shows to clang-tidy, once per poller: an analyser looks into a template only
// where it is instantiated. Nothing here is ever linked or run.

#include <rondo/rondo.hpp>
#include <rondo/thread/loop_group.hpp>
#include <rondo/thread/worker_pool.hpp>

#include <csignal>
#include <string_view>

#ifndef RONDO_LINT_POLLER
#define RONDO_LINT_POLLER DefaultPoller
#endif

using Loop = rondo::EventLoop<rondo::RONDO_LINT_POLLER>;

template class rondo::EventLoop<rondo::RONDO_LINT_POLLER>;
template class rondo::Listener<Loop>;
template class rondo::Connections<Loop>;
template class rondo::Connection<Loop>;
template class rondo::Server<Loop>;
template class rondo::Connector<Loop>;
template class rondo::UdpSocket<Loop>;
template class rondo::WorkerPool<Loop>;
template class rondo::Resolver<Loop, rondo::WorkerPool<Loop>>;
template class rondo::Outcome<int>;
template class rondo::LoopGroup<Loop, rondo::Server<Loop>>;

// The member templates, which the lines above leave out, with closures that fit and one that
// doesn't.
void rondo_lint(Loop& loop, int fd, int pid) {
    int count = 0;
    const rondo::Duration soon = rondo::Duration::milliseconds(1);
    const char large[64] = {'!'};

    const auto added = loop.add(fd, rondo::Interest::read, [&loop, fd] { loop.remove(fd); });
    const auto both = loop.add(
        fd, rondo::Interest::read | rondo::Interest::write, [&] { ++count; },
        [&](rondo::Readiness got) {
            count += rondo::any(got, rondo::Readiness::readable) ? 1 : 0;
        });
    const auto watch =
        loop.watch(fd, rondo::Interest::read, [&](int of, rondo::Readiness) { count += of; });
    if (!added || !both || !watch) count = 0;

    const rondo::TimerId once = loop.after(soon, [&] { ++count; });
    loop.after(soon, [&count, large] { count += large[0]; });
    loop.after(soon, [&]() -> rondo::Duration { return count > 3 ? rondo::never : soon; });
    const rondo::TimerId ticks =
        loop.every(soon, [&](rondo::Tick tick) { count += tick.missed > 0; });
    loop.background(ticks, true);
    loop.rearm(once, loop.now() + soon);
    auto timer = loop.timer();
    timer.after(soon, [&] { ++count; });

    auto remote = loop.remote();
    loop.defer([&] { ++count; });
    loop.post([&count, large] { count += large[0]; });
    remote.post([&] { ++count; });

    const auto hook = loop.before_sleep([&] { ++count; });
    const auto signal = loop.on_signal(SIGTERM, [&loop](int) { loop.stop(); });
    const auto child =
        loop.on_child(pid, [&](const rondo::ChildStatus& end) { count += end.code; });
    if (!hook || !signal || !child) count = 0;

    rondo::Listener listener(loop, [&](int from, const rondo::Endpoint&) { count += from; });
    listener.listen(rondo::Endpoint::parse("[::1]:0").value()).value();
    rondo::Server<Loop> server(loop);
    server.on_data(rondo::delimited(
        "\n", [&](auto&, std::string_view line) { count += static_cast<int>(line.size()); }));
    rondo::Connections<Loop> clients(loop);
    clients.on_data(rondo::length_prefixed<4>([](auto& connection, const auto& message) {
        rondo::send_length_prefixed<4>(connection, message);
    }));
    rondo::Connector connector(loop);
    connector
        .connect(rondo::Endpoint::parse("[::1]:1").value(),
                 [&](rondo::Result<int> connected) {
                     if (connected) static_cast<void>(clients.adopt(*connected));
                 })
        .value();
    rondo::UdpSocket udp(loop);
    udp.on_datagram([&](std::span<const std::byte> bytes, const rondo::Datagram& from) {
        count += udp.send(bytes, from.peer) ? 1 : 0;
    });
    udp.on_error([&](const rondo::Error& error) { count += error.code(); });
    udp.bind(rondo::Endpoint::ipv4_loopback(0)).value();
    rondo::WorkerPool pool(loop);
    pool.cancel(pool.submit([] { return 1; }, [&](rondo::Outcome<int> got) { count += *got; }));
    rondo::Resolver resolver(loop, pool);
    const auto asked = resolver.resolve("localhost", 80, [&] { ++count; });
    if (!asked) count = 0;
    loop.dump([&](std::string_view line) { count += static_cast<int>(line.size()); });
    loop.run();
}
