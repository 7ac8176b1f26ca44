// SPDX-License-Identifier: BSL-1.0
// expect: deleted

#include <string>

#include <rondo/rondo.hpp>

void use() {
    rondo::delimited(std::string(";"), [](auto&, std::string_view) {});
}
