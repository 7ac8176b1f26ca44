# SPDX-License-Identifier: BSL-1.0
"""What a run of the benchmarks ran on: the machine and how busy it was, the compiler, and the versions of
the rivals, which the headers that were compiled against tell."""
import datetime
import os
import pathlib
import platform
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUSY = 0.5  # the load average per processor above which a machine is called busy
# library: (its include directory in CMake's cache, header, an expression of its macros)
RIVALS = {
    "libev": ("RONDO_LIBEV_INCLUDE", "ev.h", "EV_VERSION_MAJOR.EV_VERSION_MINOR"),
    "libevent": ("RONDO_LIBEVENT_INCLUDE", "event2/event-config.h", "EVENT__VERSION"),
    "libuv": ("RONDO_LIBUV_INCLUDE", "uv/version.h",
              "UV_VERSION_MAJOR.UV_VERSION_MINOR.UV_VERSION_PATCH"),
    "asio": ("RONDO_ASIO_INCLUDE", "asio/version.hpp", "ASIO_VERSION"),
}


def output(*command, given=None):
    """What a command prints; nothing if it fails or isn't there."""
    try:
        done = subprocess.run(command, input=given, stdin=None if given else subprocess.DEVNULL, cwd=HERE,
                              capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cache_of(build):
    """CMake's variables of a build directory."""
    try:
        lines = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r"^([\w-]+):\w+=(.*)$", lines, re.MULTILINE))


def version_of(name, cache):
    """Of the header that the build uses; nothing if there is none."""
    variable, header, macros = RIVALS[name]
    folder = cache.get(variable, "")
    if not folder or folder.endswith("-NOTFOUND"):
        return ""
    wanted = macros.replace(".", " . ")
    found = output(cache.get("CMAKE_CXX_COMPILER", "c++"), "-E", "-P", "-x", "c++", f"-I{folder}", "-",
                   given=f"#include <{header}>\nVERSION {wanted}\n")
    said = re.search(r"^VERSION (.*)$", found, re.MULTILINE)
    return readable(name, said[1]) if said else ""


def readable(name, said):
    """asio's version is one number, libevent's a string, the others are numbers with points between."""
    said = re.sub(r"[\s\"]", "", said)
    if name == "asio" and said.isdigit():
        number = int(said)
        return f"{number // 100000}.{number // 100 % 1000}.{number % 100}"
    return said if re.match(r"\d", said) else ""


def linked(name, cache):
    """How a rival gets into the programs: asio is all headers, and another release than the installed one
    is an archive."""
    if name == "asio":
        return "compiled in"
    return "static" if cache.get(f"RONDO_{name.upper()}", "").endswith(".a") else "shared"


def busy(run):
    """What must be told of the load before the first benchmark; nothing if it was low."""
    if run["load"] <= BUSY * run["processors"]:
        return ""
    return (f"Before the first benchmark the load average was {run['load']:.2f} with {run['processors']} "
            "processors: the figures are of a busy machine.")


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def commit():
    """Of rondo, if git knows."""
    name = output("git", "rev-parse", "--short=12", "HEAD")
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    return name + (" with changes" if changed else "") if name else "unknown"


def compiler(cache):
    said = output(cache.get("CMAKE_CXX_COMPILER", "c++"), "--version").splitlines()
    return said[0] if said else "unknown"


def describe(build, load):
    """`load`: the load average before the first benchmark."""
    cache = cache_of(build)
    versions = {name: version_of(name, cache) for name in RIVALS}
    if found := re.search(r"v=(\S+)", output("redis-server", "--version")):
        versions["redis-server"] = found[1]
    return {
        "cpu": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "load": load,
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": compiler(cache),
        "flags": cache.get("CMAKE_CXX_FLAGS_RELEASE", ""),
        "versions": {name: version for name, version in versions.items() if version},
        "linked": {name: linked(name, cache) for name in RIVALS if versions[name]},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
    }
