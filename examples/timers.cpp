// SPDX-License-Identifier: BSL-1.0
// Timers and a task on one loop. Run it: timers
// [first]
#include <chrono>
#include <cstdio>

#include <rondo/rondo.hpp>

int main() {
    using namespace std::chrono_literals;
    rondo::EventLoop<rondo::DefaultPoller> loop;

    loop.after(250ms, [] { std::puts("a quarter of a second later"); });

    int count = 0;
    loop.every(100ms, [&](rondo::Tick tick) {
        std::printf("tick %d\n", ++count);
        if (count == 3) loop.cancel(tick.id);
    });

    loop.defer([] { std::puts("first of all"); });

    loop.run();  // returns when nothing is left to wait for
}
// [/first]
