// SPDX-License-Identifier: BSL-1.0
// expect: deleted

#include <rondo/rondo.hpp>

void use(rondo::Handler<void()>& handler) { rondo::Handler<void()> copy = handler; }
