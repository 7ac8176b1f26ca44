#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Breaks the library on purpose, one row of tests/mutations at a time, and demands that the named test
# fails. `--part K/N` takes every N-th row, `--only WORD` the rows that hold a word.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh
need g++=g++ python3=python3
need_catch

mkdir -p build
main=build/mutate_main.o
if [ ! -e $main ] || [ tests/support/catch_main.cpp -nt $main ] ||
    [ tests/support/catch.hpp -nt $main ]; then
    launcher=$(command -v ccache || true)
    $launcher "${CXX:-g++}" -std=c++20 -O0 -c tests/support/catch_main.cpp -o $main
fi
python3 tests/mutate.py "$PWD/$main" "$@"
