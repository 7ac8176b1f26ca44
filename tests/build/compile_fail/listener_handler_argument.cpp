// SPDX-License-Identifier: BSL-1.0
// expect: a listener's handler is called as f(int fd, const rondo::Endpoint& peer)

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    rondo::Listener listener(loop, [](const rondo::Endpoint&) {});
}
