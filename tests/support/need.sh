# SPDX-License-Identifier: BSL-1.0
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

need() {
    local item probe missing=""
    for item in "$@"; do
        probe=${item%%=*}
        case "$probe" in
        *.h | *.hpp) has_header "$probe" || missing="$missing ${item#*=}" ;;
        *) command -v "$probe" >/dev/null 2>&1 || missing="$missing ${item#*=}" ;;
        esac
    done
    [ -z "$missing" ] && return 0

    local as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
        echo "please install (names of Debian's packages):$missing" >&2
        return 1
    fi
    echo "installing:$missing"
    local quiet="-qq -o=Dpkg::Use-Pty=0"
    $as_root apt-get update $quiet </dev/null >/dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends $quiet $missing </dev/null >/dev/null
}

# Catch2's main header has another name in version 3.
need_catch() {
    has_header catch2/catch_test_macros.hpp || need catch2/catch.hpp=catch2
}
