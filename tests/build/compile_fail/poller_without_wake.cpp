// SPDX-License-Identifier: BSL-1.0
// expect: Poller

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

struct Sleepless : rondo::test::Archetype {
    static rondo::Result<Sleepless> open();
    void wake() = delete;
};

rondo::EventLoop<Sleepless>* loop = nullptr;
