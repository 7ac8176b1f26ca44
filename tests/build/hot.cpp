// SPDX-License-Identifier: BSL-1.0
// A main() that makes a loop and calls all that turns it; see hot.sh.
#include <rondo/rondo.hpp>

int main() {
    rondo::EventLoop<rondo::EpollPoller> loop;
    const auto watch = loop.on_signal(2, [] {});
    loop.post([] {});
    loop.run();
    loop.run_once();
    loop.poll();
    loop.run_for(rondo::Duration::milliseconds(1));
    return loop.prepare() == rondo::Instant::max() ? 0 : 1;
}
