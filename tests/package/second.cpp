// SPDX-License-Identifier: BSL-1.0
// The second translation unit of every consumer: what is defined twice doesn't link.

#ifdef CONSUMER_HAS_ONE_FILE
#include "rondo.hpp"
#else
#include <rondo/rondo.hpp>
#endif

int timers_fired_in_second_unit() {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    int fired = 0;
    loop.after(rondo::Duration::milliseconds(1), [&] { ++fired; });
    loop.run();
    return fired;
}
