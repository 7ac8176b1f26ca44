#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""other_version.py FROM TO: a copy of the headers as another version of the library would ship them,
with another version number and one function that behaves differently."""
import pathlib
import sys


def replace_once(path, old, new):
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"{path}: expected once: {old}")
    path.write_text(text.replace(old, new))


source, target = map(pathlib.Path, sys.argv[1:])
for header in source.rglob("*.hpp"):
    copy = target / header.relative_to(source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(header.read_text())
replace_once(target / "rondo/config/version.hpp", "#define RONDO_VERSION_PATCH 0",
             "#define RONDO_VERSION_PATCH 99")
replace_once(target / "rondo/core/error.hpp",
             'append("no error")', 'append("nothing went wrong")')
