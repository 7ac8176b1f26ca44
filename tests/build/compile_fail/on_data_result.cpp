// SPDX-License-Identifier: BSL-1.0
// expect: on_data returns nothing, or how many bytes it has used, as a size_t

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::Connections<rondo::EventLoop<rondo::test::Archetype>>& connections) {
    connections.on_data([](auto& connection, auto bytes) { return connection.send(bytes); });
}
