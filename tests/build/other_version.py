#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""other_version.py FROM TO: a copy of the headers as another version of the library would ship them,
with another version number and one function that behaves differently."""
import pathlib
import re
import sys


def replace_once(path, pattern, new):
    text, count = re.subn(pattern, new, path.read_text(), flags=re.M)
    if count != 1:
        sys.exit(f"{path}: expected once: {pattern}")
    path.write_text(text)


source, target = map(pathlib.Path, sys.argv[1:])
for header in source.rglob("*.hpp"):
    copy = target / header.relative_to(source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(header.read_text())
replace_once(target / "rondo/config/version.hpp", r"^#define RONDO_VERSION_PATCH \d+$",
             "#define RONDO_VERSION_PATCH 99")
replace_once(target / "rondo/core/error.hpp",
             r'append\("no error"\)', 'append("nothing went wrong")')
