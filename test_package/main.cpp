// SPDX-License-Identifier: BSL-1.0
// Proves that the package's headers are found and run.

#include <cstdio>
#include <rondo/rondo.hpp>

int main() {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    bool fired = false;
    loop.after(rondo::Duration::milliseconds(1), [&] { fired = true; });
    loop.run();
    std::printf("rondo %s on %s\n", RONDO_VERSION, rondo::DefaultPoller::name());
    return fired ? 0 : 1;
}
