#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# What takes too long for the gate: every mutation, the linter's deep checks, a short run of the
# benchmarks, longer ones of the fuzzers and the soak, coverage, and the whole suite by the default
# compiler, against the single header, by every other compiler that is installed, and again and
# again in random order under the sanitizers. `--smoke`, which the gate runs, does a little of it
# after the gate's own builds.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
. tests/support/need.sh

# again TIMES PRESET: every case in another order each time; a failure tells the seed.
again() {
    local seed program
    for _ in $(seq "$1"); do
        for program in build/"$2"/tests/test_*; do
            if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
            seed=$((RANDOM * 32768 + RANDOM + 1))
            timeout 600 "$program" "${@:3}" --order rand --rng-seed "$seed" >build/again.log 2>&1 ||
                { tail -n 40 build/again.log; echo "$program, seed $seed"; return 1; }
        done
    done
    echo "$1 times in random order: $2"
}

# suite NAME PRESET OPTION...: the whole suite in a build of its own.
suite() {
    cmake --preset "$2" -B "build/$1" "${@:3}" >/dev/null
    cmake --build "build/$1" -j 2
    ctest --test-dir "build/$1" -j 2 -LE 'package|bench' --output-on-failure --no-tests=error
}

# The same seeds are the same histories, whatever the compiler and its options.
same_histories() {
    local world
    for world in echo chat kv datagrams; do
        diff <(build/full/tests/swarm $world --seeds 50) <(build/asan/tests/swarm $world --seeds 50)
    done
    echo "the same histories: full, asan"
}

if [ "${1:-}" = --smoke ]; then
    again 1 full
    same_histories
    exit 0
fi

need g++=g++ clang++=clang cmake=cmake ninja=ninja-build ccache=ccache python3=python3 ev.h=libev-dev \
    uv.h=libuv1-dev event2/event.h=libevent-dev asio.hpp=libasio-dev
need_catch
need_sanitizers clang++

bash tests/mutate.sh
bash tests/lint.sh --deep
bash bench/run.sh --smoke
python3 tests/fuzz.py --planted
python3 tests/fuzz.py --seconds 120
bash tests/soak.sh --minutes 20
bash tests/coverage.sh
suite full full
suite single-all full -DRONDO_TEST_SINGLE_HEADER=ON -DRONDO_BUILD_BENCH=OFF
for compiler in /usr/bin/clang++-* /usr/bin/g++-*; do
    name=$(basename "$compiler")
    # Only compilers by version, and none that knows no C++20.
    [[ $name =~ ^(clang|g)\+\+-[0-9]+$ && ${name##*-} -ge 12 ]] || continue
    # The default one has just run it all.
    [ "$(realpath "$compiler")" != "$(realpath "$(command -v g++)")" ] || continue
    suite "$name" full -DCMAKE_CXX_COMPILER="$compiler" -DRONDO_BUILD_BENCH=OFF
done
suite asan asan
suite tsan tsan
same_histories
again 20 asan
again 20 tsan '[threads]'
