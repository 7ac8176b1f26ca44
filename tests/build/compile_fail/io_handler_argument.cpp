// SPDX-License-Identifier: BSL-1.0
// expect: an I/O handler is called as f(), f(rondo::Readiness) or f(int fd, rondo::Readiness)

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    static_cast<void>(loop.add(1, rondo::Interest::read, [](const char*) {}));
}
