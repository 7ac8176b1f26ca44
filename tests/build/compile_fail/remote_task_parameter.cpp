// SPDX-License-Identifier: BSL-1.0
// expect: a task is called as f()

#include <rondo/rondo.hpp>

void use(rondo::Remote& remote) {
    static_cast<void>(remote.post([](int) {}));
}
