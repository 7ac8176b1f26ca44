// SPDX-License-Identifier: BSL-1.0
// A server and its clients on a poller of our own, in one loop. Run it: custom_poller
#include "examples/custom_poller.hpp"
#include "examples/load.hpp"
#include "examples/upper_server.hpp"

int main() {
    rondo::EventLoop<example::TinyPoller> loop;
    example::UpperServer server(loop, false, 4096);
    server.listen(rondo::Endpoint::ipv4_loopback(0)).value();
    example::Load load(loop, {server.local(), 100, 2, 64, 100});
    loop.run();
    load.tally().print(loop.now(), "\n");
    return load.tally().errors == 0 ? 0 : 1;
}
