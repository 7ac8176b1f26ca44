// SPDX-License-Identifier: BSL-1.0
// expect: nodiscard

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) { loop.remote(); }
