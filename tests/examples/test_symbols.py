# SPDX-License-Identifier: BSL-1.0
"""The whole reactor is inlined into the program: no virtual table and no type information of it."""
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


driver.main()
