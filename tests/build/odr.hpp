// SPDX-License-Identifier: BSL-1.0
#pragma once
// Two translation units that include all of rondo are part of every test program: a function that
// isn't inline or a variable that isn't constant stops every link, and both must see one version.

namespace rondo_test {

const char* version_seen_by_a();
const char* version_seen_by_b();

}  // namespace rondo_test
