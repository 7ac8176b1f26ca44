#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# plain_cc.sh CXX DIRECTORY: core, loop and the pollers, built without exceptions and RTTI, link by the
# C compiler with nothing of libstdc++, and run.
set -euo pipefail
here=$(dirname "$0")
launcher=$(command -v ccache || true)
command -v cc >/dev/null || { echo "NOT TRIED: no cc"; exit 77; }

$launcher "$1" -std=c++20 -O2 -Wall -Wextra -Werror -fno-exceptions -fno-rtti \
    -I "$here/../../include" -c "$here/plain_cc.cpp" -o "$2/plain_cc.o"
cc "$2/plain_cc.o" -o "$2/plain_cc"
if nm -C --undefined-only "$2/plain_cc.o" | grep -E 'operator (new|delete)|std::|__cxa_|__gxx'; then
    echo "these are libstdc++'s"
    exit 1
fi
"$2/plain_cc"
echo "linked by cc, and every kind of event came"
