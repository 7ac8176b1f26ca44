#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds the benchmarks, and runs them one after the other beside a
# hand-written loop, libev, libevent, libuv and asio, and an example beside redis-server. The figures
# are also left as JSON in build/bench.
#   --smoke    a few seconds: does everything run? (without the counting of instructions)
#   --pairs N  rounds per comparison (15)
#   --only TEXT  those whose parameters contain TEXT
# Fails if contenders did different work or a count is above its limit. A missed target of time is
# told, but fails nothing: machines differ.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need c++=g++ cmake=cmake ninja=ninja-build python3=python3 \
    ev.h=libev-dev uv.h=libuv1-dev \
    event2/event.h=libevent-dev asio.hpp=libasio-dev valgrind=valgrind strace=strace \
    redis-server=redis-server redis-benchmark=redis-tools

out=build/bench
mkdir -p "$out"
cmake -S . -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRONDO_BUILD_TESTS=OFF \
    -DRONDO_BUILD_EXAMPLES=OFF -DRONDO_BUILD_BENCH=ON >"$out/configure.log" ||
    { cat "$out/configure.log"; exit 1; }
cmake --build "$out"

counts=yes
for word in "$@"; do
    [ "$word" != --smoke ] || counts=no
done

status=0
"$out/bench/pipes" --json "$out/pipes.json" "$@" || status=1
if [ $counts = yes ]; then
    python3 bench/counts.py "$out/bench" --json "$out/counts.json" || status=1
    python3 bench/kv.py "$out/bench/kv_server" --counts --json "$out/kv_counts.json" || status=1
fi
"$out/bench/timers" --json "$out/timers.json" "$@" || status=1
"$out/bench/post" --json "$out/post.json" "$@" || status=1
"$out/bench/echo" --json "$out/echo.json" "$@" || status=1
python3 bench/kv.py "$out/bench/kv_server" --json "$out/kv.json" "$@" || status=1
exit $status
