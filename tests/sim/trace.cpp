// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/trace.hpp>

#include "support/catch.hpp"

using rondo::Instant;
using rondo::sim::Trace;

TEST_CASE("a trace prints what is kept, the oldest first") {
    Trace trace(2);
    CHECK(trace.text().empty());
    trace.note({Instant(1'000'000), "connect", 0, 1000, 80});
    trace.note({Instant(2'000'999), "read", 1, 1001, -11});
    trace.note({Instant(3'000'000), "cut", 0, -1, 0});
    CHECK(trace.text() == "2000 us  host 1  read fd 1001  -11\n3000 us  host 0  cut\n");
    CHECK(trace.size() == 3);
}

TEST_CASE("every part of what happened is in the hash, also of what isn't kept") {
    const auto hash = [](size_t kept, const rondo::sim::Happening& one) {
        Trace trace(kept);
        trace.note(one);
        return trace.hash();
    };
    const rondo::sim::Happening one{Instant(1), "read", 1, 2, 3};
    CHECK(hash(10, one) == hash(0, one));
    CHECK(hash(0, one) == hash(0, {Instant(1), "read", 1, 2, 3}));
    CHECK(hash(0, one) != hash(0, {Instant(2), "read", 1, 2, 3}));
    CHECK(hash(0, one) != hash(0, {Instant(1), "real", 1, 2, 3}));
    CHECK(hash(0, one) != hash(0, {Instant(1), "read", 0, 2, 3}));
    CHECK(hash(0, one) != hash(0, {Instant(1), "read", 1, 1, 3}));
    CHECK(hash(0, one) != hash(0, {Instant(1), "read", 1, 2, 4}));
}
