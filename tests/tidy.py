#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The rules of this repository that a compiler doesn't check.

`tidy.py` checks the tree and prints one line per violation; `tidy.py --self-test` checks the rules
against planted violations (tidy_test.py). A rule is a function that takes the tree, a mapping from
path to text, and yields (path, line, message). A message that begins with "warning" doesn't fail.
"""
import ast
import json
import pathlib
import re
import subprocess
import sys
from collections import Counter

from tidy_source import functions, strip

# Who may include whom: the folders are layers, includes go down only. An entry is a layer or one
# header. Everyone may include config.
CONTRACT = ["backend/readiness.hpp", "backend/poller.hpp"]
LAYERS = {
    "config": [],
    "core": ["core"],
    "os": ["core", "os"],
    "backend": ["core", "os", "backend"],  # but see other_pollers
    "sim": ["core", "sim", *CONTRACT],
    "loop": ["core", "loop", *CONTRACT],
    "net": ["core", "loop", "net"],
    "thread": ["core", "loop", "net", "thread"],
    "coro": ["core", "loop", "net", "coro"],
    "observe": ["core", "loop", "net", "observe"],
    "compat": ["core", "os", "backend", "sim", "loop", "net", "thread", "coro", "observe", "compat"],
}
IN_RONDO_HPP = ["config", "core", "os", "backend", "loop", "net"]

# Standard headers that cost more compile time, or more library, than their use is worth.
HEAVY = set("iostream regex format functional memory thread mutex chrono string sstream "
            "system_error".split())
HEAVY_ALLOWED = {
    "core/raise.hpp": {"system_error"},
    "core/error_code.hpp": {"system_error"},
}
WITHOUT_HEAVY = {"config", "core", "backend", "loop"}
OF_THE_SYSTEM = re.compile(r"(sys|netinet|arpa|net|linux)/|(unistd|poll|fcntl|signal|netdb|time|"
                           r"pthread|semaphore|sched)\.h$|(thread|mutex|chrono|condition_variable)$")
WITHOUT_SYSTEM = {"config", "core", "loop", "net", "sim"}

# Which system or compiler it is, only config/platform.hpp asks. Elsewhere `#if` has its place in os/
# (what a system's header defines), in a poller, and in the headers that throw and catch; and
# RONDO_TRACE_LOCATIONS, which is no platform, may be asked anywhere.
CONDITIONAL_ALLOWED = re.compile(r"(config|os|compat)/|backend/\w+_poller\.hpp$|core/(raise|outcome)\.hpp$")
IDENTITY = re.compile(r"__(linux|APPLE|\w+BSD|DragonFly|sun|unix|GNUC|clang|GLIBC)_*\b|_WIN32|_MSC_VER")

# Opening comments that are longer than a few lines for a reason.
LONG_OPENING = {"backend/poller.hpp", "loop/event_loop.hpp"}

# Words of C++ that have no place in the library, and where they do.
BANNED_CODE = {
    "throw": {"core/raise.hpp"},
    "try": {"core/outcome.hpp"},
    "virtual": set(),
    "dynamic_cast": set(),
    "typeid": set(),
    "thread_local": set(),
    "clock_gettime": {"os/clock.hpp"},
}

# Test sources that are not named after one header.
TESTS_OF_SEVERAL = re.compile(r"backend/(conformance|manual)(_\w+)?\.cpp$|os/(two|other)_version"
                              r"|loop/(dump|embedding|lifetime)\.cpp$")

# Where a user's file, or a text for users, says which version it wants: all of it or its beginning.
NAMES_VERSION = re.compile(r"README\.md|(tests/package/.*|test_package)/"
                           r"(CMakeLists\.txt|meson\.build)")
VERSION_WANTED = re.compile(r"(?:find_package\(rondo |\brondo/|'rondo', version: '[>=]+)"
                            r"(\d+(?:\.\d+)*)")

LINES_OF = {"README.md": 300, "ARCHITECTURE.md": 250}
RULES = []


def rule(function):
    RULES.append(function)
    return function


def lines_with(text, pattern):
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(pattern, line):
            yield number, match


def headers(tree):
    """(path, name below include/rondo, layer, text) of every header of the library."""
    for path, text in tree.items():
        if path.startswith("include/rondo/") and path.endswith(".hpp"):
            name = path.removeprefix("include/rondo/")
            yield path, name, name.split("/")[0] if "/" in name else "", text


def cpp(tree):
    return ((path, text) for path, text in tree.items()
            if path.endswith((".hpp", ".cpp")) and not path.startswith("single_include/"))


@rule
def layers(tree):
    for path, name, layer, text in headers(tree):
        if not layer:
            continue
        if layer not in LAYERS:
            yield path, 1, f"{layer}/ is not a layer"
            continue
        for number, match in lines_with(text, r"^\s*#\s*include\s*<rondo/([^>]+)>"):
            target = match[1]
            other = target.split("/")[0]
            if other != "config" and not {other, target} & set(LAYERS[layer]):
                yield path, number, f"{layer}/ may not include {target}"


@rule
def other_pollers(tree):
    for path, name, layer, text in headers(tree):
        if layer != "backend" or name == "backend/default_poller.hpp":
            continue
        for number, match in lines_with(text, r"#\s*include\s*<rondo/(backend/\w+_poller\.hpp)>"):
            yield path, number, f"a backend may not include another: {match[1]}"
        if name in CONTRACT:
            for number, match in lines_with(text, r"#\s*include\s*<rondo/os/"):
                yield path, number, "the contract may not include os/"


@rule
def includes(tree):
    for path, name, layer, text in headers(tree):
        for number, match in lines_with(text, r'^\s*#\s*include\s*("[^"]*"|<[^>]*>)'):
            target = match[1][1:-1]
            if match[1][0] == '"':
                yield path, number, f"include from the root, <rondo/...>, not {match[1]}"
            if target in HEAVY - HEAVY_ALLOWED.get(name, set()) and layer in WITHOUT_HEAVY:
                yield path, number, f"<{target}> is too heavy for {layer}/"
            elif layer in WITHOUT_SYSTEM and OF_THE_SYSTEM.match(target):
                yield path, number, f"{layer}/ may not include <{target}> of the system"


@rule
def everything(tree):
    """rondo.hpp is the list of all headers from config to net, and nothing else."""
    text = tree.get("include/rondo/rondo.hpp")
    if text is None:
        return
    there = [match[1] for _, match in lines_with(text, r"^#include <rondo/(.+)>$")]
    wanted = sorted(name for _, name, layer, _ in headers(tree) if layer in IN_RONDO_HPP)
    for name in sorted(set(there) ^ set(wanted)):
        yield "include/rondo/rondo.hpp", 1, f"{'remove' if name in there else 'add'} {name}"
    if there != sorted(there):
        yield "include/rondo/rondo.hpp", 1, "sort the includes"
    for number, match in lines_with(text, r"^(?!//|#include <rondo/|#pragma once$).+"):
        yield "include/rondo/rondo.hpp", number, "nothing but includes"


@rule
def conditionals(tree):
    for path, name, layer, text in headers(tree):
        if layer in ("config", "compat"):
            continue
        for number, match in lines_with(strip(text), r"^\s*#\s*(if|ifdef|ifndef|elif)\b(.*)$"):
            if match[2].strip() == "RONDO_TRACE_LOCATIONS":
                continue
            if not CONDITIONAL_ALLOWED.match(name):
                yield path, number, "#if has no place here: ask config/platform.hpp in os/ or a poller"
            elif IDENTITY.search(match[2]):
                yield path, number, f"only config/platform.hpp asks for {IDENTITY.search(match[2])[0]}"


@rule
def form(tree):
    for path, text in tree.items():
        if not path.endswith((".hpp", ".cpp", ".py", ".sh")) and path != ".ci/run":
            continue
        first = [line for line in text.splitlines()[:2] if not line.startswith("#!")]
        if not first or not re.match(r"(//|#) SPDX-License-Identifier: BSL-1.0$", first[0]):
            yield path, 1, "begin with the SPDX line"
        if path.endswith(".hpp") and text.splitlines()[1:2] != ["#pragma once"]:
            yield path, 2, "#pragma once is the second line"


@rule
def opening(tree):
    for path, name, layer, text in headers(tree):
        length = 0
        for line in text.splitlines()[2:]:
            if not line.startswith("//"):
                break
            length += 1
        if length < 1 or (length > 14 and name not in LONG_OPENING):
            yield path, 3, f"say in a few lines what this is, why, and what it refuses ({length})"
        if layer and re.search(r"^namespace rondo", text, re.M) and not re.search(
                r"^namespace rondo::inline RONDO_ABI\b", text, re.M):
            yield path, 1, "the namespace is rondo::inline RONDO_ABI"


@rule
def sizes(tree):
    for path, text in cpp(tree):
        count = text.count("\n")
        if count > 500:
            yield path, 500, f"{count} lines: one file is one idea, 500 lines at most"
        elif count > 350:
            yield path, 350, f"warning: {count} lines, aim at 250"
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > 100:
                yield path, number, f"{len(line)} columns, 100 at most"
        for head, begin, end in functions(strip(text)):
            if end - begin + 1 > 70:
                yield path, begin, f"a function of {end - begin + 1} lines, 70 at most: {head}"


@rule
def python_sizes(tree):
    for path, text in tree.items():
        if path.endswith(".py"):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 70:
                    yield path, node.lineno, f"a function of more than 70 lines: {node.name}"


@rule
def banned_words(tree):
    unfinished = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"])
    for path, text in tree.items():
        for number, match in lines_with(text, rf"\b({unfinished})\b"):
            yield path, number, f"{match[1]}: finish it, or write down what is not there"
        for number, match in lines_with(text, r"(?<![\w./])/(home|root|work|Users)/"):
            yield path, number, f"the path of one machine: {match[0]}"


@rule
def banned_code(tree):
    for path, name, layer, text in headers(tree):
        code = strip(text)
        for word, places in BANNED_CODE.items():
            for number, _ in lines_with(code, rf"\b{word}\b") if name not in places else ():
                yield path, number, f"{word} has no place here"
        for number, _ in lines_with(code, r"\busing namespace\b"):
            yield path, number, "using namespace in a header"
        if layer in ("core", "loop", "net", "sim"):
            call = r"(?<![\w>.\]])::(read|write|send|recv|accept4?|connect|close|socket)\("
            for number, match in lines_with(code, call):
                yield path, number, f"a system call in {layer}/: {match[1]}"


@rule
def sleeps(tree):
    for path, text in cpp(tree):
        if path.startswith("tests/"):
            for number, match in lines_with(strip(text), r"\b(u|nano)?sleep(_for|_until)?\s*\("):
                yield path, number, "no sleep in tests: wait for what happens"


@rule
def test_names(tree):
    names = {name.removesuffix(".hpp") for _, name, _, _ in headers(tree)}
    for path in tree:
        name = path.removeprefix("tests/")
        if not path.startswith("tests/") or not path.endswith(".cpp"):
            continue
        if TESTS_OF_SEVERAL.match(name) or name.split("/")[0] not in LAYERS or "/" not in name:
            continue
        stem = name.removesuffix(".cpp")
        if not any(stem == header or stem.startswith(header + "_") for header in names):
            yield path, 1, "a test is named after its header"


@rule
def documents(tree):
    for path, limit in LINES_OF.items():
        if tree.get(path, "").count("\n") > limit:
            yield path, limit, f"more than {limit} lines"
    for path, text in tree.items():
        if path.endswith(".md"):
            yield from blocks(tree, path, text)


def blocks(tree, path, text):
    """A block below `<!-- from FILE:REGION -->` is the text between // [REGION] and // [/REGION]."""
    for match in re.finditer(r"<!-- from ([\w/.]+):(\w+) -->\n+```\w*\n(.*?)^```", text, re.S | re.M):
        number = text.count("\n", 0, match.start()) + 1
        source = tree.get(match[1], "")
        region = re.search(rf"^\s*// \[{match[2]}\]\n(.*?)^\s*// \[/{match[2]}\]", source,
                           re.S | re.M)
        if not region:
            yield path, number, f"there is no region {match[2]} in {match[1]}"
        elif dedent(region[1]) != dedent(match[3]):
            yield path, number, f"the block differs from {match[1]}:{match[2]}"
    for number, match in lines_with(text, r"<!-- from .*-->"):
        if not re.match(r"<!-- from [\w/.]+:\w+ -->$", match[0]):
            yield path, number, "write <!-- from FILE:REGION -->"


def dedent(text):
    lines = text.rstrip().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[margin:].rstrip() for line in lines]


@rule
def one_version(tree):
    text = tree.get("include/rondo/config/version.hpp", "")
    version = ".".join(re.findall(r"#define RONDO_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))
    port = "packaging/vcpkg/rondo/vcpkg.json"
    if port in tree and json.loads(tree[port])["version"] != version:
        yield port, 1, f"the version is {version}"
    for path, text in tree.items():
        if NAMES_VERSION.fullmatch(path):
            for number, match in lines_with(text, VERSION_WANTED):
                if not f"{version}.".startswith(f"{match[1]}."):
                    yield path, number, f"the version is {version}"


@rule
def same_lists(tree):
    """What is written down twice: the budgets of the gate, and the smoke tests."""
    stages = Counter(re.findall(r"^ *stage (\S+) (\d+) ", tree.get(".ci/run", ""), re.M))
    table = Counter(re.findall(r"^\| ([\w+]+) \| (\d+) \|", tree.get("CONTRIBUTING.md", ""), re.M))
    for stage in sorted((stages - table) | (table - stages)):
        yield "CONTRIBUTING.md", 1, f"the budget of {stage[0]} differs from .ci/run"
    listed = re.findall(r"'((?:build/smoke|backend/conformance)\w*\.cpp)'",
                        tree.get("tests/meson.build", ""))
    there = [path.removeprefix("tests/") for path in tree
             if re.match(r"tests/(build/smoke|backend/conformance)\w*\.cpp$", path)]
    for name in sorted(set(listed) ^ set(there)):
        yield "tests/meson.build", 1, f"{'remove' if name in listed else 'add'} {name}"


@rule
def one_gate(tree):
    """Workflows call the scripts, and one job needs all the others."""
    for path, text in tree.items():
        if path.startswith(".github/workflows/") and "needs:" in text:
            jobs = re.findall(r"^  (\w+):$", text.split("\njobs:\n")[1], re.M)
            needed = set(re.findall(r"\w+", re.search(r"needs: \[([^\]]*)\]", text)[1]))
            for job in set(jobs[:-1]) - needed:
                yield path, 1, f"the last job doesn't need {job}"


def check(tree):
    return sorted(found for one in RULES for found in one(tree))


def read_tree(root):
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
    tree = {}
    for path in filter(None, listed):
        try:
            tree[path] = (root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            pass  # not a text, or removed and not yet committed
    return tree


def main():
    if sys.argv[1:] == ["--self-test"]:
        from tidy_test import self_test
        return self_test(check)
    found = check(read_tree(pathlib.Path(__file__).resolve().parent.parent))
    for path, line, message in found:
        print(f"{path}:{line}: {message}")
    failures = sum(not message.startswith("warning") for _, _, message in found)
    print(f"tidy: {len(RULES)} rules, {failures} violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
