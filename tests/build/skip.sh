#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# skip.sh PROGRAM: what the cases of skip.cpp come to. An exit code of 4 is a skipped test for ctest,
# so it must be that exactly if all that ran was skipped; nothing that failed may end with it.
set -euo pipefail
program=$1
wrong=0

# expect passed|skipped|failed CASE...
expect() {
    local wanted=$1 code=0 found
    shift
    "$program" "$@" >/dev/null 2>&1 || code=$?
    case $code in
    0) found=passed ;;
    4) found=skipped ;;
    *) found=failed ;;
    esac
    [ $found = "$wanted" ] || { echo "$* counts as $found ($code), not as $wanted"; wrong=1; }
}

expect passed "passes"
expect skipped "skips"
expect skipped "skips,skips once more"
expect passed "skips,passes"
expect failed "fails and skips"
expect failed "skips and fails"
expect failed "skips,skips and fails"
expect failed "fails one section and skips the other"
expect failed "fails four times"
expect failed "says n.a.*"
exit $wrong
