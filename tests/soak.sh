#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# A long life in short (tests/soak/soak.cpp): `tests/soak.sh --minutes N [--seed N]`, one minute without.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/support/need.sh

need g++=g++ cmake=cmake ninja=ninja-build ccache=ccache python3=python3
need_catch
mkdir -p build
cmake --preset full >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build --preset full -j "$(nproc)" --target soak_soak
exec build/full/tests/soak "$@"
