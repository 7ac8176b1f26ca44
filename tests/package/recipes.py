#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""recipes.py VERSION: what can be checked of the Conan recipe and the vcpkg port without the tools:
syntax, the files they name, and the version."""
import ast
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
wrong = []


def demand(condition, sentence):
    if not condition:
        wrong.append(sentence)


def conan():
    tree = ast.parse((ROOT / "conanfile.py").read_text())
    ast.parse((ROOT / "test_package/conanfile.py").read_text())
    recipe = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in recipe.body
              if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.Tuple))}
    for pattern in values["exports_sources"]:
        demand(list(ROOT.glob(pattern)), f"conanfile.py exports {pattern}, which isn't there")
    demand(values["license"] == "BSL-1.0", "conanfile.py: the licence")
    demand(values["package_type"] == "header-library", "conanfile.py: the package type")
    demand("version" not in values, "conanfile.py: the version is read from the header")
    # What CMakeLists.txt reads in a package build must have been exported.
    for name in re.findall(r"install\(FILES (\w+)\b", (ROOT / "CMakeLists.txt").read_text()):
        demand(name in values["exports_sources"], f"conanfile.py doesn't export {name}")


def vcpkg(version):
    port = ROOT / "packaging/vcpkg/rondo"
    manifest = json.loads((port / "vcpkg.json").read_text())
    demand(manifest["version"] == version, f"vcpkg.json: the version is {version}")
    demand(manifest["license"] == "BSL-1.0", "vcpkg.json: the licence")
    demand({one["name"] for one in manifest["dependencies"]} ==
           {"vcpkg-cmake", "vcpkg-cmake-config"}, "vcpkg.json: the two helpers")
    text = (port / "portfile.cmake").read_text()
    for option in re.findall(r"-D(RONDO_\w+)=", text):
        demand(f"option({option} " in (ROOT / "CMakeLists.txt").read_text(), f"no option {option}")
    demand("share/cmake/rondo" in text, "portfile.cmake: where the CMake package is")


conan()
vcpkg(sys.argv[1])
print("\n".join(wrong) or "the recipes name files that exist, and the version of the headers")
sys.exit(bool(wrong))
