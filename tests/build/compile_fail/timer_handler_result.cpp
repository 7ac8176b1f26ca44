// SPDX-License-Identifier: BSL-1.0
// expect: it returns nothing, or a rondo::Duration after which it is called again

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    loop.after(rondo::Duration::seconds(1), [] { return 500; });
}
