// SPDX-License-Identifier: BSL-1.0
// One of the two translation units of odr.hpp.

#include <rondo/rondo.hpp>

#include "build/odr.hpp"

const char* rondo_test::version_seen_by_a() { return RONDO_VERSION; }
