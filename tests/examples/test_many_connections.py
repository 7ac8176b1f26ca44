# SPDX-License-Identifier: BSL-1.0
"""10 000 connections at once, each answered; server and load are two processes."""
import driver
from driver import Server, run

CONNECTIONS = 10_000


def test_ten_thousand_connections_at_once_are_each_answered():
    limit = driver.raise_descriptor_limit()
    if limit < CONNECTIONS + 100:
        raise driver.Skip(f"limit {limit}")
    for way in (["upper_server", "--edge"], ["upper_server"], ["echo_server"]):
        echo = ["--echo"] if way == ["echo_server"] else []
        with Server(*way) as server:
            status, out, err = run("load", "--port", server.port, "--connections", CONNECTIONS,
                                   "--messages", 2, *echo, timeout=60)
            assert (status, err) == (0, ""), err
            seen = driver.figures(out)
            assert seen["connections"] == CONNECTIONS, out
            assert (seen["messages"], seen["errors"]) == (2 * CONNECTIONS, 0), out
            server.stop()


driver.main()
