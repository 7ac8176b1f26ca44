#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# run.sh CONSUMER: builds and runs one consumer project from an empty directory, as a user would.
# Exits with 77 where the tool for it is missing, and says NOT TRIED.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export CXX="${CXX:-g++}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

launcher=$(command -v ccache || true)
compile="$launcher $CXX -std=c++20 -O0"
cmake_options=(-G Ninja -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher")

not_tried() {
    echo "NOT TRIED: $*"
    exit 77
}

# The compiler's flags for a warning in a header that a user includes with -I.
every_warning="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
    -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wcast-qual -Wdouble-promotion -Wformat=2
    -Wundef -Wunused -Wextra-semi -Werror"

with_cmake() {
    cmake -S "$here/$1" -B build "${cmake_options[@]}" -DRONDO_SOURCE_DIR="$root" "${@:2}" >configure.log ||
        { cat configure.log; return 1; }
    cmake --build build
    build/consumer
}

# install_without_programs OPTION...: rondo alone, into usr.
install_without_programs() {
    cmake -S "$root" -B rondo "${cmake_options[@]}" -DRONDO_BUILD_TESTS=OFF \
        -DRONDO_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/usr" "$@" >configure.log
    cmake --install rondo >install.log
}

install_rondo() {
    install_without_programs
    # Every header arrives, and nothing that depends on the machine.
    diff <(cd "$root/include" && find . -name '*.hpp' | sort) \
        <(cd usr/include && find . -name '*.hpp' | sort)
    if grep -rF "$work" usr; then echo "the install knows where it was made"; return 1; fi
    mv usr moved
}

consume_find_package() {
    install_rondo
    with_cmake find_package -DCMAKE_PREFIX_PATH="$work/moved"
}

consume_add_subdirectory() {
    with_cmake add_subdirectory -DCMAKE_INSTALL_PREFIX="$work/installed"
    cmake --install build >install.log
    [ ! -e installed ] || { echo "a subproject installs:"; find installed; return 1; }
}

consume_fetch_content() { with_cmake fetch_content; }

# with_pkg_config PREFIX: compiles and links in two steps, each with its own flags.
with_pkg_config() {
    export PKG_CONFIG_PATH="$1/share/pkgconfig"
    pkg-config --exact-version="$(version)" rondo
    local flags step
    for step in cflags libs; do
        flags=$(pkg-config --$step rondo)
        [[ " $flags " == *" -pthread "* ]] || { echo "no -pthread in --$step: $flags"; return 1; }
    done
    # shellcheck disable=SC2046
    $compile $(pkg-config --cflags rondo) -c "$here/main.cpp" -o main.o
    # shellcheck disable=SC2046
    $compile $(pkg-config --cflags rondo) -c "$here/second.cpp" -o second.o
    # shellcheck disable=SC2046
    $compile main.o second.o $(pkg-config --libs rondo) -o consumer
    ./consumer
}

consume_pkg_config() {
    command -v pkg-config >/dev/null || not_tried "no pkg-config"
    install_rondo
    with_pkg_config "$work/moved"

    # The headers in a place of their own, wherever the rest goes.
    rm -rf rondo moved
    install_without_programs -DCMAKE_INSTALL_INCLUDEDIR="$work/headers"
    with_pkg_config "$work/usr"
}

consume_meson() {
    command -v meson >/dev/null || not_tried "no meson"
    cp -r "$here/meson" project
    cp "$here/main.cpp" "$here/second.cpp" project
    ln -s "$root" project/subprojects/rondo
    meson setup project build -Dprefix="$work/installed" >setup.log || { cat setup.log; return 1; }
    meson compile -C build >build.log || { cat build.log; return 1; }
    meson test -C build
    meson install -C build >install.log
    [ ! -e installed ] || { echo "a subproject installs:"; find installed; return 1; }

    # And rondo by itself: the same headers and the same pkg-config file as CMake installs.
    meson setup "$root" alone -Dprefix="$work/usr" -Dtests=disabled >setup.log
    meson install -C alone >install.log
    diff <(cd "$root/include" && find . -name '*.hpp' | sort) \
        <(cd usr/include && find . -name '*.hpp' | sort)
    with_pkg_config "$work/usr"
}

consume_single_header() {
    cp "$root/single_include/rondo.hpp" .
    $compile -DCONSUMER_HAS_ONE_FILE -I. "$here/main.cpp" "$here/second.cpp" -pthread -o consumer
    ./consumer
}

# The examples use more of the library than the small program. That one of them hands a format on to
# printf is its own affair.
consume_warnings() {
    local compiler source tried=""
    for compiler in g++ clang++; do
        command -v $compiler >/dev/null || continue
        for source in "$here/main.cpp" "$root"/examples/{upper_server,run_command}.cpp; do
            # shellcheck disable=SC2086
            $launcher $compiler -std=c++20 -O2 $every_warning -Wno-format-nonliteral \
                -I "$root/include" -I "$root" -c "$source" -o consumer.o
        done
        tried="$tried $compiler"
    done
    echo "no warning by$tried"
}

version() {
    sed -nE 's/^#define RONDO_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' \
        "$root/include/rondo/config/version.hpp" | paste -sd.
}

consume_recipes() { python3 "$here/recipes.py" "$(version)"; }

consume_conan() {
    local conan="${CONAN:-conan}"
    command -v "$conan" >/dev/null || not_tried "no conan"
    export CONAN_HOME="$work/conan"
    "$conan" profile detect
    cp -r "$root" tree
    "$conan" create tree -s compiler.cppstd=20 --build=missing
}

consume_vcpkg() {
    local vcpkg="${VCPKG_ROOT:+$VCPKG_ROOT/vcpkg}"
    command -v "${vcpkg:-vcpkg}" >/dev/null || not_tried "no vcpkg"
    RONDO_SOURCE_PATH="$root" VCPKG_KEEP_ENV_VARS=RONDO_SOURCE_PATH "${vcpkg:-vcpkg}" install rondo \
        --overlay-ports="$root/packaging/vcpkg" --x-install-root="$work/installed" \
        --x-buildtrees-root="$work/trees" --x-packages-root="$work/packages"
}

"consume_$1"
echo "$1: ok"
