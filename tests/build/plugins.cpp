// SPDX-License-Identifier: BSL-1.0
// Two plug-ins of one process, built with two versions of rondo, each run their own code. Both are
// loaded globally, so that without the inline namespace the second would use the functions of the
// first.

#include <dlfcn.h>
#include <rondo/config/version.hpp>

#include <string>

#include "support/catch.hpp"

namespace {

std::string said_by(const char* path) {
    void* plugin = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (plugin == nullptr) return dlerror();
    void* symbol = dlsym(plugin, "rondo_plugin");
    auto* run = reinterpret_cast<void (*)(char*, size_t)>(symbol);
    if (run == nullptr) return "no function";
    char text[128];
    run(text, sizeof text);
    return text;
}

}  // namespace

TEST_CASE("two plug-ins with two versions of rondo run their own code", "[build]") {
    CHECK(said_by(RONDO_TEST_PLUGIN) == RONDO_VERSION ": no error, 1 timer");
    CHECK(said_by(RONDO_TEST_OTHER_PLUGIN) ==
          RONDO_DETAIL_STR(RONDO_VERSION_MAJOR) "." RONDO_DETAIL_STR(
              RONDO_VERSION_MINOR) ".99: nothing went wrong, 1 timer");
}
