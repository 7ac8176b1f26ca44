// SPDX-License-Identifier: BSL-1.0
// Everything that the other files get wrong, done right: this one compiles.

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

using Loop = rondo::EventLoop<rondo::test::Archetype>;

void use(Loop& loop, rondo::Remote& remote) {
    int runs = 0;
    static_cast<void>(loop.add(1, rondo::Interest::read, [] {}));
    static_cast<void>(loop.add(1, rondo::Interest::read, [](int, rondo::Readiness) {}));
    loop.after(rondo::Duration::seconds(1), [](rondo::TimerId) {});
    loop.after(rondo::Duration::seconds(1), [] { return rondo::Duration::seconds(2); });
    loop.every(rondo::Duration::seconds(1), [&](rondo::Tick) { ++runs; });
    loop.defer([&] { return ++runs; });
    static_cast<void>(remote.post([] {}));
    static_cast<void>(loop.on_signal(15, [](int) {}));
    static_cast<void>(loop.on_child(1, [](rondo::ChildStatus) {}));
    rondo::Handler<void(), 16, rondo::InPlaceOnly> small([&] { ++runs; });
    small();
}
