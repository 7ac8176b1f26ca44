// SPDX-License-Identifier: BSL-1.0
// What a user writes first: the program of every consumer in this directory.

#ifdef CONSUMER_HAS_ONE_FILE
#include "rondo.hpp"
#else
#include <rondo/rondo.hpp>
#endif

#include <cstdio>

int timers_fired_in_second_unit();

int main() {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    int fired = 0;
    loop.after(rondo::Duration::milliseconds(1), [&] { ++fired; });
    loop.run();
    fired += timers_fired_in_second_unit();
    std::printf("rondo %s: %d timers\n", RONDO_VERSION, fired);
    return fired == 2 ? 0 : 1;
}
