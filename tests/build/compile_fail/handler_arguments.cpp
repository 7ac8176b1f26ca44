// SPDX-License-Identifier: BSL-1.0
// expect: a handler's callable takes its arguments, or only the last few of them

#include <rondo/rondo.hpp>

void use() {
    rondo::Handler<void(int, char)> handler([](const char*) {});
    handler(1, 'x');
}
