// SPDX-License-Identifier: BSL-1.0
// This file looks at the traced form; the form that keeps nothing is checked by where_untraced.cpp.

#ifndef RONDO_TRACE_LOCATIONS
#define RONDO_TRACE_LOCATIONS
#endif

#include <rondo/config/where.hpp>

#include <string_view>

#include "support/catch.hpp"

namespace {

rondo::Where registered(int, rondo::Where where = rondo::Where::here()) { return where; }

}  // namespace

TEST_CASE("a default argument of Where::here() is the line of the caller", "[config]") {
    const rondo::Where where = registered(1);
    CHECK(where.line == __LINE__ - 1);
    CHECK(std::string_view(where.file) == __FILE__);
}

TEST_CASE("a Where that nobody filled in is nowhere", "[config]") {
    const rondo::Where where;
    CHECK(where.line == 0);
    CHECK(std::string_view(where.file).empty());
}
