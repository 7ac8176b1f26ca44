#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds everything with GCC, runs every test, and ends with ctest's
# summary. Arguments go to ctest: `tests/run.sh -R timer`. With `--seeds N` it runs N simulated worlds
# of each kind instead.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need g++=g++ cmake=cmake ninja=ninja-build ccache=ccache python3=python3 pkg-config=pkg-config \
    meson=meson nc=netcat-openbsd ev.h=libev-dev uv.h=libuv1-dev \
    event2/event.h=libevent-dev asio.hpp=libasio-dev liburing.h=liburing-dev \
    valgrind=valgrind strace=strace \
    redis-server=redis-server redis-cli=redis-tools hiredis/hiredis.h=libhiredis-dev \
    spin=spin gcc=gcc
need_catch

mkdir -p build
cmake --preset full >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
if [ "${1:-}" = --seeds ]; then
    cmake --build --preset full -j "$(nproc)" --target swarm_swarm
    printf '%s\n' kv chat echo datagrams |
        xargs -P "$(nproc)" -I@ build/full/tests/swarm @ --seeds "${2:?how many?}"
    exit
fi
cmake --build --preset full -j "$(nproc)"
ctest --preset full "$@"
