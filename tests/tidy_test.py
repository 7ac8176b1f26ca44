# SPDX-License-Identifier: BSL-1.0
"""The rules of tidy.py against planted violations: a small tree that is in order, and one change
each that must be found. A rule that nothing here can break is an error."""

GOOD = """// SPDX-License-Identifier: BSL-1.0
#pragma once
// A thing for the self-test. It is what it is
// because it must be something.

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

inline int one() { return 1; }

}  // namespace rondo::inline RONDO_ABI
"""

VERSION = """// SPDX-License-Identifier: BSL-1.0
#pragma once
// The version,
// written once.

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 1
#define RONDO_VERSION_PATCH 0
"""

ALL = """// SPDX-License-Identifier: BSL-1.0
#pragma once
// Everything,
// sorted.

#include <rondo/config/version.hpp>
#include <rondo/core/thing.hpp>
#include <rondo/loop/turn.hpp>
"""

README = """# It

<!-- from examples/one.cpp:body -->
```cpp
return 1;
```
"""

WORKFLOW = """on: push

jobs:
  quick:
    runs-on: here
  gate:
    needs: [quick]
"""

TREE = {
    "include/rondo/rondo.hpp": ALL,
    "include/rondo/config/version.hpp": VERSION,
    "include/rondo/core/thing.hpp": GOOD,
    "include/rondo/loop/turn.hpp": GOOD,
    "tests/core/thing.cpp": "// SPDX-License-Identifier: BSL-1.0\n",
    "tests/core/thing_again.cpp": "// SPDX-License-Identifier: BSL-1.0\n",
    "examples/one.cpp": "// SPDX-License-Identifier: BSL-1.0\n    // [body]\n    return 1;\n"
                        "    // [/body]\n",
    "README.md": README,
    ".github/workflows/ci.yml": WORKFLOW,
    "packaging/vcpkg/rondo/vcpkg.json": '{"version": "0.1.0"}',
    ".ci/run": "# SPDX-License-Identifier: BSL-1.0\nstage gcc 480 bash tests/run.sh\n",
    "CONTRIBUTING.md": "| gcc | 480 | everything |\n",
}

THING = "include/rondo/core/thing.hpp"
TURN = "include/rondo/loop/turn.hpp"
TEST = "tests/core/thing.cpp"
BLANK = "\n"


def with_include(line):
    return GOOD.replace("#include <rondo/config", f"{line}\n#include <rondo/config")


def with_code(line):
    return GOOD.replace("inline int one", f"{line}\ninline int one")


# (rule, path, its new text, a part of the message)
PLANTED = [
    ("layers", THING, with_include("#include <rondo/loop/turn.hpp>"), "core/ may not include loop"),
    ("layers", TURN, with_include("#include <rondo/os/fd.hpp>"), "loop/ may not include os"),
    ("layers", TURN, with_include("#include <rondo/backend/epoll_poller.hpp>"), "may not include"),
    ("layers", "include/rondo/detail/x.hpp", GOOD, "detail/ is not a layer"),
    ("other_pollers", "include/rondo/backend/a_poller.hpp",
     with_include("#include <rondo/backend/b_poller.hpp>"), "may not include another"),
    ("other_pollers", "include/rondo/backend/poller.hpp",
     with_include("#include <rondo/os/fd.hpp>"), "the contract may not"),
    ("includes", THING, with_include('#include "other.hpp"'), "include from the root"),
    ("includes", THING, with_include("#include <functional>"), "too heavy"),
    ("includes", TURN, with_include("#include <sys/epoll.h>"), "of the system"),
    ("everything", "include/rondo/core/new.hpp", GOOD, "add core/new.hpp"),
    ("everything", "include/rondo/rondo.hpp", ALL.replace("core/thing", "core/gone"),
     "remove core/gone.hpp"),
    ("everything", "include/rondo/rondo.hpp", ALL + "int x;\n", "nothing but includes"),
    ("conditionals", THING, with_code("#ifdef __linux__\n#endif"), "#if has no place"),
    ("conditionals", "include/rondo/os/fd.hpp", with_code("#if defined(__linux__)\n#endif"),
     "only config/platform.hpp asks"),
    ("form", TEST, "int x;\n", "SPDX"),
    ("form", THING, GOOD.replace("#pragma once\n", ""), "#pragma once"),
    ("opening", THING, GOOD.replace("// A thing", "//\n" * 14 + "// A thing"), "in a few lines"),
    ("opening", THING, GOOD.replace("::inline RONDO_ABI {", " {"), "the namespace is"),
    ("sizes", THING, GOOD + BLANK * 500, "500 lines at most"),
    ("sizes", THING, GOOD + BLANK * 350, "warning: 362"),
    ("sizes", THING, GOOD + "// " + "x" * 100 + "\n", "103 columns"),
    ("sizes", THING, with_code("inline void f(int a) {\n    if (a) {\n" + "\n" * 70 + "    }\n}"),
     "a function of 74 lines"),
    ("sizes", THING, with_code("struct S {\n    S() : a{1} {\n" + "\n" * 70 + "    }\n    int a;\n};"),
     "a function of 72 lines"),
    ("sizes", TEST, TREE[TEST] + 'TEST_CASE("a }") {\n' + "\n" * 70 + "}\n", "a function of 72"),
    ("python_sizes", "tests/x.py", "# SPDX-License-Identifier: BSL-1.0\ndef f():\n" +
     "    pass\n" * 71, "more than 70 lines: f"),
    ("banned_words", TEST, TREE[TEST] + "// TO" + "DO: later\n", "finish it"),
    ("banned_words", "README.md", README + "see /ho" + "me/me/x\n", "the path of one machine"),
    ("banned_code", THING, with_code("inline void f() { thr" + "ow 1; }"), "throw has no place"),
    ("banned_code", THING, with_code("using namespace std;"), "using namespace"),
    ("banned_code", TURN, with_code("inline void f() { ::close(1); }"), "a system call"),
    ("sleeps", TEST, TREE[TEST] + "void f() { sleep_for(1s); }\n", "no sleep"),
    ("test_names", "tests/core/other.cpp", TREE[TEST], "named after its header"),
    ("documents", "README.md", README + BLANK * 300, "more than 300 lines"),
    ("documents", "README.md", README.replace("return 1", "return 2"), "the block differs"),
    ("documents", "README.md", README.replace(":body", ":soul"), "no region soul"),
    ("documents", "README.md", README.replace(":body", ""), "write <!-- from"),
    ("one_version", "packaging/vcpkg/rondo/vcpkg.json", '{"version": "0.2.0"}', "is 0.1.0"),
    ("one_version", "README.md", README + "find_package(rondo 0.2 REQUIRED)\n", "is 0.1.0"),
    ("one_version", "README.md", README + "require `rondo/0.1.1`\n", "is 0.1.0"),
    ("same_lists", ".ci/run", TREE[".ci/run"] + "    stage quick 150 x\n", "the budget of quick"),
    ("same_lists", "CONTRIBUTING.md", "| gcc | 500 | everything |\n", "the budget of gcc differs"),
    ("same_lists", "tests/build/smoke_x.cpp", TREE[TEST], "add build/smoke_x.cpp"),
    ("one_gate", ".github/workflows/ci.yml", WORKFLOW.replace("  gate", "  slow:\n  gate"),
     "doesn't need slow"),
]

# What must not be found.
HARMLESS = [
    (THING, with_code("template <class R, class... A>\nclass H<R(A...)> {\n" + "    int f();\n" * 71 + "};")),
    (THING, with_code("struct alignas(64) S {\n" + "    int f();\n" * 71 + "};")),
    (THING, with_code("// throw, virtual and #if are words here")),
    (THING, with_code("struct S {\n" + "    int f();\n" * 71 + "};")),
    (TEST, TREE[TEST] + 'const char* text = "sleep(1) { {";\n'),
    ("include/rondo/backend/default_poller.hpp",
     with_include("#include <rondo/backend/epoll_poller.hpp>")),
]


def self_test(check):
    import tidy
    wrong = [f"found in a good tree: {found}" for found in check(TREE)]
    for rule, path, text, message in PLANTED:
        found = list(getattr(tidy, rule)({**TREE, path: text}))
        if not any(message in one[2] for one in found):
            wrong.append(f"{rule} missed: {message} (found {found})")
    for path, text in HARMLESS:
        found = [one for one in check({**TREE, path: text}) if "rondo.hpp" not in one[0]]
        if found:
            wrong.append(f"found in harmless text: {found}")
    for rule in {rule.__name__ for rule in tidy.RULES} - {planted[0] for planted in PLANTED}:
        wrong.append(f"no planted violation for {rule}")
    for line in wrong:
        print(line)
    print(f"tidy --self-test: {len(PLANTED)} planted violations, {len(wrong)} wrong")
    return 1 if wrong else 0
