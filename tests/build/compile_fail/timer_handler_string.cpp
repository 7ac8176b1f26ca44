// SPDX-License-Identifier: BSL-1.0
// expect: a timer handler is called as f() or f(rondo::TimerId)

#include <rondo/rondo.hpp>

#include <string>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    loop.after(rondo::Duration::seconds(1), [](std::string) {});
}
