#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Which lines of include/ the suite and the examples run. It writes build/coverage/report.html and ends with
# a table; less than 95 % of the lines is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need g++=g++ gcov=gcc cmake=cmake ninja=ninja-build ccache=ccache python3=python3 gcovr=gcovr nc=netcat-openbsd \
    redis-server=redis-server redis-cli=redis-tools hiredis/hiredis.h=libhiredis-dev strace=strace
need_catch
# Threads count too, and none of it twice or never.
cmake --preset full -B build/coverage -DRONDO_BUILD_BENCH=OFF \
    -DCMAKE_CXX_FLAGS="--coverage -fprofile-update=atomic" \
    -DRONDO_TEST_FLAGS="-O0;-g1" >/dev/null
find build/coverage -name '*.gcda' -delete
cmake --build build/coverage -j "$(nproc)"
ctest --test-dir build/coverage -j "$(nproc)" -LE 'package|bench' --output-on-failure --no-tests=error
gcovr --root . --filter include/ --object-directory build/coverage -j "$(nproc)" \
    --txt --html-details build/coverage/report.html \
    --fail-under-line 95 build/coverage/tests build/coverage/examples
