#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# hot.sh CXX DIRECTORY: a main() that makes a loop calls what runs once, and compilers take all of it for
# code that runs rarely. The turns of the loop must not be compiled for size with it.
set -euo pipefail
here=$(dirname "$0")
launcher=$(command -v ccache || true)

$launcher "$1" -std=c++20 -O2 -DNDEBUG -I "$here/../.." -I "$here/../../include" \
    -c "$here/../../examples/upper_server.cpp" -o "$2/hot.o"
turns=$(nm -C --format=sysv --defined-only "$2/hot.o" | grep -E '^[^|]*EventLoop<.*>::run\(\)' |
    grep -v '\[clone \.cold' || true)
echo "${turns:?run() is not a function of its own}"
if grep -F '|.text.unlikely' <<<"$turns"; then
    echo "it is compiled for size"
    exit 1
fi
