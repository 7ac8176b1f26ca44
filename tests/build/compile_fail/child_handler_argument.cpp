// SPDX-License-Identifier: BSL-1.0
// expect: a child handler is called as f() or f(rondo::ChildStatus)

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    static_cast<void>(loop.on_child(1, [](int) {}));
}
