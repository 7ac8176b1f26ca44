// SPDX-License-Identifier: BSL-1.0
// The one object that holds Catch and main. Every test program links it, so Catch is compiled once
// per build and a changed test costs only itself.

#if __has_include(<catch2/catch_session.hpp>)

#include <catch2/catch_session.hpp>

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }

#else

#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#endif
