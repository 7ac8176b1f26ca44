// SPDX-License-Identifier: BSL-1.0
// What tests/lint.sh shows to clang-tidy of the simulated world. It is never linked or run.

#include <rondo/net/resolver.hpp>
#include <rondo/net/server.hpp>
#include <rondo/net/udp_socket.hpp>
#include <rondo/sim/sim_executor.hpp>
#include <rondo/sim/sim_poller.hpp>

using Loop = rondo::EventLoop<rondo::SimPoller>;

template class rondo::EventLoop<rondo::SimPoller>;
template class rondo::Server<Loop>;
template class rondo::UdpSocket<Loop>;
template class rondo::SimExecutor<Loop>;
template class rondo::Resolver<Loop, rondo::SimExecutor<Loop>>;

void rondo_lint(rondo::sim::World& world) {
    Loop loop{rondo::SimPoller(world, world.host("here"))};
    world.drive(loop);
    world.after(rondo::Duration::seconds(1),
                [&] { world.cut(world.host("here"), world.host("there")); });
    world.run_for(rondo::Duration::seconds(2));
}
