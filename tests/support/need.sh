# SPDX-License-Identifier: BSL-1.0
# shellcheck shell=bash
# To be sourced by the scripts that a stranger runs first: `need probe=package...` installs the
# packages whose probe fails, and asks the package index only if there is one to install. A probe is
# a command, or the name of a header with its ending. On Debian and Ubuntu apt-get does it (as root
# or by sudo); elsewhere it says what is missing and stops.

has_header() {
    local root
    for root in /usr/include /usr/local/include /opt/homebrew/include; do
        [ -e "$root/$1" ] && return 0
    done
    return 1
}

# Netcats differ: only OpenBSD's knows -N, by which the tests say that nothing more will come.
is_there() {
    case "$1" in
    *.h | *.hpp) has_header "$1" ;;
    nc) [[ "$(nc -h 2>&1)" == *[[:space:]]-N[[:space:]]* ]] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

install_packages() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    if ! command -v apt-get >/dev/null 2>&1 ||
        { [ -n "${as_root[*]}" ] && ! command -v sudo >/dev/null; }; then
        echo "please install (names of Debian's packages): $*" >&2
        return 1
    fi
    echo "installing: $*"
    local quiet=(-qq -o=Dpkg::Use-Pty=0)
    "${as_root[@]}" apt-get update "${quiet[@]}" </dev/null >/dev/null &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${quiet[@]}" "$@" </dev/null >/dev/null
}

need() {
    local item missing=()
    for item in "$@"; do
        is_there "${item%%=*}" || missing+=("${item#*=}")
    done
    [ "${#missing[@]}" = 0 ] || install_packages "${missing[@]}"
}

# need_sanitizers CLANG...: their runtimes are in a package that Debian's Clang only recommends, one
# for each version.
need_sanitizers() {
    local clang missing=()
    for clang in "$@"; do
        echo 'int main() {}' | "$clang" -fsanitize=address -x c++ - -o /dev/null 2>/dev/null &&
            echo 'int main() {}' | "$clang" -fsanitize=thread -x c++ - -o /dev/null 2>/dev/null ||
            missing+=("libclang-rt-$("$clang" -dumpversion | cut -d. -f1)-dev")
    done
    [ "${#missing[@]}" = 0 ] || install_packages "${missing[@]}"
}

# Catch2's main header has another name in version 3.
need_catch() {
    has_header catch2/catch_test_macros.hpp || need catch2/catch.hpp=catch2
}
