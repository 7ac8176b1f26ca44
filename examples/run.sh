#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds upper_server and its client, and lets 200 connections talk to it for
# three seconds, every byte of every reply checked. Fails if a reply was wrong or missing, or if the
# server didn't end cleanly. Arguments go to the server: `examples/run.sh --edge`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need c++=g++ cmake=cmake ninja=ninja-build python3=python3

out=build/examples
mkdir -p "$out"
cmake -S . -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRONDO_BUILD_TESTS=OFF >"$out/configure.log" ||
    { cat "$out/configure.log"; exit 1; }
cmake --build "$out" --target example_upper_server example_load

server=""
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true' EXIT
mkfifo "$out/said.$$"
"$out/examples/upper_server" "$@" >"$out/said.$$" &
server=$!
exec 3<"$out/said.$$"
rm "$out/said.$$"
read -r -t 10 said <&3 || { echo "the server didn't start" >&2; exit 1; }
echo "$said"

status=0
"$out/examples/load" --port "${said##*:}" --connections 200 --pipeline 4 --seconds 3 || status=1
kill -INT "$server"
wait "$server" || { echo "the server didn't end cleanly" >&2; status=1; }
server=""
exit $status
