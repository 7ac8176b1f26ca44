# SPDX-License-Identifier: BSL-1.0
"""loop_group_echo: both ways to share work, on every poller, and a clean end."""
import driver
from driver import Server, receive

POLLERS = ("epoll", "poll", "select")
WAYS = ((), ("--handover",))


def test_it_echoes_to_many_clients_both_ways():
    for poller in POLLERS:
        for way in WAYS:
            with Server("loop_group_echo", "--threads", 3, "--poller", poller, *way) as server:
                clients = [server.connect() for _ in range(30)]
                for i, client in enumerate(clients):
                    client.sendall(b"client %d" % i)
                for i, client in enumerate(clients):
                    wanted = b"client %d" % i
                    assert receive(client, len(wanted)) == wanted, (poller, way)
                for client in clients:
                    client.close()
                server.stop()


def test_it_ends_cleanly_by_either_signal_while_clients_are_connected():
    for way in WAYS:
        for number in (driver.signal.SIGINT, driver.signal.SIGTERM):
            with Server("loop_group_echo", "--threads", 2, *way) as server:
                with server.connect() as client:
                    client.sendall(b"x")
                    assert receive(client, 1) == b"x"
                    server.stop(number)


def test_an_address_in_use_is_told():
    with Server("loop_group_echo", "--handover", "--threads", 1) as server:
        status, _, errors = driver.run("loop_group_echo", "--port", server.port, "--threads", 2)
        assert status == 1 and "in use" in errors, (status, errors)
        server.stop()


driver.main()
