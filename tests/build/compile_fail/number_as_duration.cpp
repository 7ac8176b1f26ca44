// SPDX-License-Identifier: BSL-1.0
// expect: no matching

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    loop.after(500, [] {});
}
