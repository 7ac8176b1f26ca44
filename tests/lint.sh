#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# clang-tidy over every header, as .clang-tidy asks; any warning fails. Templates are shown to it by
# tests/build/instances.cpp, once per poller. `--deep` runs the analyser instead, which follows paths
# through the functions of the headers and takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need clang-tidy-19=clang-tidy-19 g++=g++

checks='--checks=-clang-analyzer-*'
flags=(-std=c++20 -Iinclude)
if [ "${1:-}" = --deep ]; then
    all=$(sed -n '/^Checks:/,/^Header/{s/^ *\(-*clang-analyzer-[^,]*\),*$/\1/p}' .clang-tidy)
    checks="--checks=-*,$(tr '\n' ',' <<<"$all")"
    flags+=(-Xclang -analyzer-opt-analyze-headers)
fi

# Its findings are on the standard output; on the other it counts warnings that nobody sees.
printf '%s\n' EpollPoller PollPoller SelectPoller | xargs -P 2 -I@ clang-tidy-19 --quiet \
    --warnings-as-errors='*' "$checks" tests/build/instances.cpp -- \
    -DRONDO_LINT_POLLER=@ "${flags[@]}"
clang-tidy-19 --quiet --warnings-as-errors='*' "$checks" tests/build/instances_sim.cpp -- \
    "${flags[@]}"
