// SPDX-License-Identifier: BSL-1.0
// expect: a periodic handler is called as f() or f(rondo::Tick), and returns nothing

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    loop.every(rondo::Duration::seconds(1), [] { return rondo::never; });
}
