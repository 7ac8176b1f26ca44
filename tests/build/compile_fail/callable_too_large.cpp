// SPDX-License-Identifier: BSL-1.0
// expect: this callable is too large to be stored in place

#include <rondo/rondo.hpp>

void use() {
    char ballast[17] = {};
    rondo::Handler<void(), 16, rondo::InPlaceOnly> handler(
        [ballast] { static_cast<void>(ballast); });
    handler();
}
