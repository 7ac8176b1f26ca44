// SPDX-License-Identifier: BSL-1.0
// expect: a task is called as f()

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    loop.defer([](int) {});
}
