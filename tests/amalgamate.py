#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes single_include/rondo.hpp out of include/rondo/rondo.hpp.

Each project header is emitted once, by its canonical path, where it is first included; includes of
the standard library and the system stay where they are. An include of a project header inside an
`#if` is refused: it would be there for one system and missing for the others. The result depends on
nothing but the headers.

    amalgamate.py              write it
    amalgamate.py --check      fail if the one in the tree is stale
    amalgamate.py --self-test
"""
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r"^\s*#\s*include\s*<(rondo/[^>]+)>")
RELATIVE = re.compile(r'^\s*#\s*include\s*"')
OPENS = re.compile(r"^\s*#\s*(if|ifdef|ifndef)\b")
CLOSES = re.compile(r"^\s*#\s*endif\b")

HEAD = """// SPDX-License-Identifier: BSL-1.0
#pragma once
// rondo {version} in one file: all headers from config to net, one after the other. It was made by
// tests/amalgamate.py; change the headers below include/rondo instead.
"""


class Refused(Exception):
    pass


def without_form(text):
    """A header without its licence line, its #pragma once, and blank lines at the ends."""
    lines = [line for line in text.splitlines()
             if not line.startswith("// SPDX-") and line != "#pragma once"]
    return "\n".join(lines).strip("\n").split("\n")


def has_code(lines):
    return any(line.strip() and not re.match(r"\s*(//|#)", line) for line in lines)


def emit(include, name, seen, out):
    """Appends a header after what it includes; what it includes below code of its own comes there."""
    path = (include / name).resolve()
    if path in seen:
        return
    seen.add(path)
    depth = 0
    body = []

    def flush():
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(body)).strip("\n")
        if text and name != "rondo/rondo.hpp":
            out.append(f"\n// ---- {name}\n\n{text}\n")
        body.clear()

    for line in without_form(path.read_text(encoding="utf-8")):
        depth += bool(OPENS.match(line)) - bool(CLOSES.match(line))
        if RELATIVE.match(line):
            raise Refused(f"{name}: a relative include: {line.strip()}")
        match = INCLUDE.match(line)
        if not match:
            body.append(line)
        elif depth > 0:
            raise Refused(f"{name}: includes {match[1]} inside an #if")
        else:
            if has_code(body):
                flush()
            emit(include, match[1], seen, out)
    flush()


def amalgamate(include):
    version = (include / "rondo/config/version.hpp").read_text(encoding="utf-8")
    number = ".".join(re.findall(r"#define RONDO_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", version))
    out = [HEAD.replace("{version}", number)]
    emit(include, "rondo/rondo.hpp", set(), out)
    return "".join(out)


def self_test():
    def tree(**files):
        version = "".join(f"#define RONDO_VERSION_{part} 1\n" for part in ("MAJOR", "MINOR", "PATCH"))
        files = {"config/version.hpp": version,
                 "rondo.hpp": "#pragma once\n#include <rondo/a.hpp>\n#include <rondo/b.hpp>\n",
                 "a.hpp": "// SPDX-x\n#pragma once\n#include <new>\n#include <rondo/b.hpp>\nint a;\n",
                 "b.hpp": "#pragma once\n// a b\nint b;\n", **files}
        with tempfile.TemporaryDirectory() as directory:
            include = pathlib.Path(directory)
            for name, text in files.items():
                (include / "rondo" / name).parent.mkdir(parents=True, exist_ok=True)
                (include / "rondo" / name).write_text(text)
            return amalgamate(include)

    def refused(**files):
        try:
            tree(**files)
        except Refused:
            return True
        return False

    text = tree()
    below = tree(**{"b.hpp": "int one;\n#include <rondo/a.hpp>\nint two;\n", "a.hpp": "int a;\n",
                    "rondo.hpp": "#include <rondo/b.hpp>\n"})
    checks = {
        "each header once": text.count("int b;") == 1 and text.count("#pragma once") == 1,
        "in the order of need": text.index("int b;") < text.index("int a;"),
        "an include below code": below.index("int one") < below.index("int a;") < below.index("int two"),
        "standard includes stay": "#include <new>" in text,
        "the version is told": "rondo 1.1.1 in one file" in text,
        "the same twice": text == tree(),
        "once by canonical path": tree(**{"b.hpp": "#include <rondo/../rondo/a.hpp>\nint b;\n",
                                          "a.hpp": "int a;\n"}).count("int a;") == 1,
        "an #if around an include": refused(**{"b.hpp": "#if X\n#include <rondo/a.hpp>\n#endif\n"}),
        "an #if that is closed": not refused(**{"b.hpp": "#if X\n#endif\n#include <rondo/a.hpp>\n"}),
        "a relative include": refused(**{"b.hpp": '#include "a.hpp"\n'}),
    }
    wrong = [name for name, right in checks.items() if not right]
    print(f"amalgamate --self-test: {len(checks)} checks, wrong: {wrong or 'none'}")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    target = ROOT / "single_include/rondo.hpp"
    try:
        text = amalgamate(ROOT / "include")
    except Refused as reason:
        print(f"amalgamate: {reason}")
        return 1
    if sys.argv[1:] == ["--check"]:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            print("amalgamate: single_include/rondo.hpp is stale; run python3 tests/amalgamate.py")
            return 1
        return 0
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"amalgamate: {target.relative_to(ROOT)}, {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
