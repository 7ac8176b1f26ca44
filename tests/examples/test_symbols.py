# SPDX-License-Identifier: BSL-1.0
"""The whole reactor is inlined into the program: no virtual table and no type information of it, and
nothing of the simulated world, which costs nobody anything who doesn't name it.
"""
import re
import subprocess

import driver


def test_upper_server_has_no_vtable_and_no_typeinfo_of_rondo():
    listed = subprocess.run(["nm", "-C", str(driver.directory / "upper_server")], check=True,
                            capture_output=True, text=True, timeout=driver.LIMIT).stdout
    assert " main\n" in listed, "no symbols: was the program stripped?"
    if "__ubsan_" in listed:
        raise driver.Skip("instrumented: the sanitizer needs type information")
    found = re.findall(r"^.*\b(?:vtable|VTT|typeinfo(?: name)?) for .*\brondo::.*$", listed, re.M)
    assert not found, found


def test_servers_hold_nothing_of_the_simulated_world():
    for name in ("upper_server", "echo_server"):
        listed = subprocess.run(["nm", "-C", str(driver.directory / name)], check=True,
                                capture_output=True, text=True, timeout=driver.LIMIT).stdout
        assert "rondo::" in listed, "no symbols: was the program stripped?"
        assert not re.findall(r"^.*\bsim::.*$", listed, re.M)


driver.main()
