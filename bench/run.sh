#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds the benchmarks, runs them one after the other, and leaves all
# figures in bench/out/results.json and, to be read, in bench/out/report.html.
#   bench/run.sh [NAME...]  the named benchmarks; all without a name
#   --quick       a first impression, in under 3 minutes
#   --smoke       a few seconds each: does everything run?
#   --pairs N     rounds per comparison (15; quick 5)
#   --only TEXT   those whose parameters contain TEXT
#   --rival NAME=TREE  another release of libev, libevent, libuv or asio than the installed one: it is
#                 built from its source tree (which stays as it is) with the flags of all others
# Fails if a benchmark fails: contenders did different work, or a count is above its limit. A missed
# target of time is told, but fails nothing: machines differ. That the machine
# was busy before is told, too.
set -euo pipefail
command_line=$(printf ' %q' "$0" "$@")
cd "$(dirname "$0")/.."
. tests/support/need.sh

known=(pipes timers post echo accept idle scaling handler build counts kv)
rivals_known=(libev libevent libuv asio)
flags="-O2 -DNDEBUG"
out=bench/out
build=build/bench

# Counts have no rounds, and no shorter form than the quick one.
length=full pairs='' names=() options=() options_of_counts=() rivals=()
headers_first=''  # of another asio

refuse() {
    echo "bench/run.sh: $1" >&2
    echo "benchmarks: ${known[*]}" >&2
    echo "options: --quick --smoke --pairs N --only TEXT --rival NAME=TREE (NAME: ${rivals_known[*]})" >&2
    exit 2
}

is_one_of() { # WORD WORD...
    local word=$1 other
    shift
    for other in "$@"; do
        [ "$word" != "$other" ] || return 0
    done
    return 1
}

read_words() {
    while [ $# -gt 0 ]; do
        case "$1" in
        --quick | --smoke)
            [ "$length" = full ] || refuse "either --quick or --smoke, and once"
            length=${1#--}
            options+=("$1")
            options_of_counts+=(--quick)
            ;;
        --pairs)
            [[ "${2:-}" =~ ^[1-9][0-9]{0,3}$ ]] || refuse "--pairs wants a number of rounds"
            pairs=$2
            options+=("$1" "$2")
            shift
            ;;
        --only)
            [ -n "${2:-}" ] || refuse "--only wants a text"
            options+=("$1" "$2")
            options_of_counts+=("$1" "$2")
            shift
            ;;
        --rival)
            [[ "${2:-}" == ?*=?* ]] || refuse "--rival wants NAME=TREE"
            is_one_of "${2%%=*}" "${rivals_known[@]}" || refuse "no rival ${2%%=*}"
            [ -d "${2#*=}" ] || refuse "no directory ${2#*=}"
            rivals+=("${2%%=*}=$(cd "${2#*=}" && pwd)")
            shift
            ;;
        -*) refuse "no option $1" ;;
        *)
            is_one_of "$1" "${known[@]}" || refuse "no benchmark $1"
            is_one_of "$1" ${names[@]+"${names[@]}"} || names+=("$1")
            ;;
        esac
        shift
    done
    if [ "${#names[@]}" = 0 ]; then
        names=("${known[@]}")
        ! builds_with_installed_libraries || drop_build
    elif is_one_of build "${names[@]}" && builds_with_installed_libraries; then
        refuse "build compiles with the installed libraries; of the rivals it takes asio alone"
    fi
}

# What `build` compiles is linked to the installed libraries, whose headers must fit. asio has no other
# part than its headers.
builds_with_installed_libraries() {
    local rival
    for rival in ${rivals[@]+"${rivals[@]}"}; do
        [ "${rival%%=*}" = asio ] || return 0
    done
    return 1
}

drop_build() {
    local name
    names=()
    for name in "${known[@]}"; do
        [ "$name" = build ] || names+=("$name")
    done
}

# logged FILE COMMAND...: its output is only worth reading when it fails.
logged() {
    local log=$1
    shift
    "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; echo "failed: $* (all of it in $log)" >&2; return 1; }
}

# Another release of a library, static; what CMake is to look for instead goes to `found`. The tree is
# copied first, because it may have been configured in place.
build_rival() { # NAME TREE
    local name=$1 tree=$2 place=$PWD/build/rival-$1 upper=${1^^}
    if [ "$name" = asio ]; then
        local include
        for include in "$tree/include" "$tree/asio/include"; do
            [ -e "$include/asio.hpp" ] || continue
            found+=("-DRONDO_ASIO_INCLUDE=$include")
            headers_first=$include
            return
        done
        refuse "no include/asio.hpp or asio/include/asio.hpp in $tree"
    fi
    echo "building $name from $tree"
    rm -rf "$place"
    mkdir -p "$place"
    cp -R "$tree" "$place/source"
    case "$name" in
    libev) with_configure "$place" ;;
    libevent)
        with_cmake "$place" -DEVENT__LIBRARY_TYPE=STATIC -DEVENT__DISABLE_OPENSSL=ON \
            -DEVENT__DISABLE_MBEDTLS=ON -DEVENT__DISABLE_TESTS=ON -DEVENT__DISABLE_REGRESS=ON \
            -DEVENT__DISABLE_SAMPLES=ON -DEVENT__DISABLE_BENCHMARK=ON
        ;;
    libuv) with_cmake "$place" -DBUILD_TESTING=OFF -DLIBUV_BUILD_TESTS=OFF -DLIBUV_BUILD_SHARED=OFF ;;
    esac
    local library
    library=$(find "$place/installed" \( -name libev.a -o -name libevent_core.a -o -name 'libuv*.a' \) |
        sort | head -n 1)
    [ -n "$library" ] || { echo "$tree: no static library came out of it" >&2; return 1; }
    found+=("-DRONDO_${upper}_INCLUDE=$place/installed/include" "-DRONDO_$upper=$library")
}

with_configure() { # PLACE
    [ -x "$1/source/configure" ] || refuse "no configure in the tree: run its autogen.sh first"
    (cd "$1/source" && { [ ! -e Makefile ] || logged "$1/log" make distclean; } &&
        logged "$1/log" ./configure --prefix="$1/installed" --disable-shared CFLAGS="$flags" &&
        logged "$1/log" make -j "$(nproc)" install)
}

with_cmake() { # PLACE OPTION...
    local place=$1
    shift
    logged "$place/log" cmake -S "$place/source" -B "$place/objects" -G Ninja -Wno-dev \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="$flags" -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_INSTALL_PREFIX="$place/installed" "$@" &&
        logged "$place/log" cmake --build "$place/objects" &&
        logged "$place/log" cmake --install "$place/objects"
}

# Without a contender or a tool the others are measured all the same; who isn't there is told.
install_what_is_missing() {
    need c++=g++ cmake=cmake ninja=ninja-build python3=python3
    need ev.h=libev-dev uv.h=libuv1-dev event2/event.h=libevent-dev asio.hpp=libasio-dev \
        liburing.h=liburing-dev valgrind=valgrind strace=strace redis-server=redis-server \
        redis-benchmark=redis-tools ||
        echo "going on without what couldn't be installed"
}

build_benchmarks() {
    local found=() rival
    for rival in ${rivals[@]+"${rivals[@]}"}; do
        build_rival "${rival%%=*}" "${rival#*=}"
    done
    [ "${#rivals[@]}" = 0 ] || build=build/bench-rival
    mkdir -p "$build"
    : >"$build/log"
    # The rivals of an earlier run are forgotten.
    logged "$build/log" cmake -S . -B "$build" -G Ninja -U 'RONDO_LIB*' -U 'RONDO_ASIO*' \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="$flags" -DRONDO_BUILD_TESTS=OFF \
        -DRONDO_BUILD_EXAMPLES=OFF -DRONDO_BUILD_BENCH=ON ${found[@]+"${found[@]}"}
    cmake --build "$build"
}

# A run that takes far longer than it should is stuck.
seconds_allowed() {
    local seconds=900
    [ "$length" = full ] || seconds=200
    echo $((seconds * (${pairs:-1} / 15 + 1)))
}

# In the background, so that an interrupt ends the benchmark and all that it started.
running=
with_limit() {
    timeout --kill-after=10 "$(seconds_allowed)" "$@" &
    running=$!
    wait "$running" || { local code=$?; running=; return $code; }
    running=
}
trap '[ -z "$running" ] || kill "$running"; exit 130' INT TERM

run_one() { # NAME
    local name=$1 programs=$build/bench json=(--json "$build/$1.json")
    case "$name" in
    build)
        with_limit env ${headers_first:+"CPATH=$headers_first"} python3 bench/build/build.py \
            "${json[@]}" ${options[@]+"${options[@]}"}
        ;;
    counts) with_limit python3 bench/counts.py "$programs" "${json[@]}" \
        ${options_of_counts[@]+"${options_of_counts[@]}"} ;;
    kv)
        local server=$programs/kv_server worst=0
        with_limit python3 bench/kv/kv.py "$server" "${json[@]}" ${options[@]+"${options[@]}"} || worst=$?
        with_limit python3 bench/kv/kv.py "$server" --counts --json "$build/kv_counts.json" \
            ${options[@]+"${options[@]}"} || { local code=$?; [ $worst != 0 ] || worst=$code; }
        return $worst
        ;;
    *) with_limit "$programs/$name" "${json[@]}" ${options[@]+"${options[@]}"} ;;
    esac
}

run_all() {
    local name begin code files
    : >"$build/status.tsv"
    for name in "${known[@]}"; do
        files=$name.json
        [ "$name" != kv ] || files+=$'\t'kv_counts.json
        code=- begin=$SECONDS
        if is_one_of "$name" "${names[@]}"; then
            printf '\n== %s\n' "$name"
            rm -f "$build/$name.json" "$build/${name}_counts.json"
            code=0
            run_one "$name" || code=$?
            echo "   $name: $((SECONDS - begin)) s, exit status $code"
        fi
        printf '%s\t%s\t%s\t%s\n' "$name" "$code" $((SECONDS - begin)) "$files" >>"$build/status.tsv"
    done
}

read_words "$@"
read -r load _ </proc/loadavg # before building adds to it
rm -f "$out/results.json" "$out/report.html"
install_what_is_missing
build_benchmarks
run_all
status=0
echo
python3 bench/merge.py "$build" "$build/status.tsv" "$out/results.json" "$length" \
    "${command_line# }" "$load" || status=1
python3 bench/report.py "$out/results.json" "$out/report.html" || status=1
echo "$SECONDS s in all; figures: $out/results.json, to be read: $out/report.html"
exit $status
