#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# hot.sh CXX DIRECTORY: a main() that makes a loop calls what runs once, and compilers take all of it for
# code that runs rarely. The turns of the loop must not be compiled for size with it.
set -euo pipefail
here=$(dirname "$0")
launcher=$(command -v ccache || true)

$launcher "$1" -std=c++20 -O2 -DNDEBUG -I "$here/../../include" -c "$here/hot.cpp" -o "$2/hot.o"
symbols=$(nm -C --format=sysv --defined-only "$2/hot.o" | grep -vF '[clone .cold')
for name in run run_once poll run_for prepare; do
    found=$(grep -E "^[^|]*EventLoop<[^(]*>::$name\(" <<<"$symbols") ||
        { echo "$name() is not a function of its own"; exit 1; }
    if grep -F '|.text.unlikely' <<<"$found"; then
        echo "$name() is compiled for size"
        exit 1
    fi
done
echo "what turns a loop is compiled for speed"
