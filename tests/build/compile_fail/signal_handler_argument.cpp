// SPDX-License-Identifier: BSL-1.0
// expect: a signal handler is called as f() or f(int signal)

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    static_cast<void>(loop.on_signal(15, [](const char*) {}));
}
