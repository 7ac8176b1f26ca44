# SPDX-License-Identifier: BSL-1.0
"""kv_server and what it has to bear: clients that send too much, too little or read nothing, too many of
them, others' addresses, and its own end. Nobody but who misbehaves notices.
"""
import contextlib
import signal
import socket

import driver
import kv
from driver import Server, receive, receive_all
from kv import ask, encode

MEGABYTE = 1 << 20


def test_what_is_announced_is_not_reserved():
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller) as server:
            with server.connect() as other:
                assert ask(other, "set", "k", "v") == b"+OK\r\n"
                before = kv.memory(server), kv.info(other, "used_memory")
                clients = [server.connect() for _ in range(50)]
                for client in clients:
                    client.sendall(b"*3\r\n$3\r\nset\r\n$1\r\nx\r\n$60000000\r\n" + b"x" * 1000)
                    assert ask(other, "get", "k") == b"$1\r\nv\r\n", poller
                grown = kv.memory(server) - before[0], kv.info(other, "used_memory") - before[1]
                assert grown[0] < 100 * MEGABYTE and grown[1] == 0, (poller, grown)
                for client in clients:
                    client.close()
            server.stop()


def test_a_large_value_in_pieces_arrives_whole():
    size = 40 * MEGABYTE
    with Server("kv_server") as server:
        with server.connect() as client, server.connect() as other:
            client.sendall(b"*3\r\n$3\r\nset\r\n$1\r\nx\r\n$%d\r\n" % size)
            for _ in range(40):
                client.sendall(b"x" * MEGABYTE)
                assert ask(other, "exists", "x") == b":0\r\n"
            client.sendall(b"\r\n")
            assert receive(client, 5) == b"+OK\r\n"
            assert ask(other, "strlen", "x") == b":%d\r\n" % size
        server.stop()


def test_a_value_over_the_limit_is_refused_when_it_is_announced():
    with Server("kv_server", "--max-bulk", 1000) as server:
        for size, wanted in ((1000, b"+OK\r\n"), (1001, b"-ERR Protocol error: invalid bulk length\r\n")):
            with server.connect() as client:
                client.sendall(b"*3\r\n$3\r\nset\r\n$1\r\nx\r\n$%d\r\n" % size)
                if size == 1000:
                    client.sendall(b"x" * size + b"\r\n*1\r\n$4\r\nquit\r\n")
                assert receive_all(client).startswith(wanted), size
        server.stop()


def test_a_client_that_never_reads_is_bounded_and_holds_up_nobody():
    size = len(b"$1000000\r\n\r\n") + 1000000
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller) as server:
            with server.connect() as greedy:
                ask(greedy, "set", "large", "x" * 1000000)
                before = kv.memory(server)
                greedy.sendall(encode("get", "large") * 2000)
                with server.connect() as other:
                    for _ in range(100):
                        assert ask(other, "ping") == b"+PONG\r\n", poller
                assert kv.memory(server) - before < 500 * MEGABYTE, poller
                assert len(receive(greedy, 100 * size)) == 100 * size, poller
            server.stop()


def test_more_than_the_output_limit_cuts_a_client_off_alone():
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller, "--max-output", 1000000) as server:
            with server.connect() as greedy, server.connect() as other:
                assert ask(greedy, "set", "large", "x" * 20 * MEGABYTE) == b"+OK\r\n"
                greedy.sendall(encode("get", "large"))
                kv.until(lambda: kv.info(other, "connected_clients") == 1)
                assert kv.ended(greedy), poller
                assert ask(other, "strlen", "large") == b":%d\r\n" % (20 * MEGABYTE)
            server.stop()


def test_a_command_of_a_million_arguments_works():
    with Server("kv_server") as server:
        with server.connect() as client:
            client.sendall(b"*1000001\r\n" + encode("del")[4:] + b"$1\r\nx\r\n" * 1000000)
            assert receive(client, 4) == b":0\r\n"
            client.sendall(b"*1000001\r\n" + encode("mset")[4:] + b"".join(
                b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(1000000)))
            assert receive(client, 5) == b"+OK\r\n"
            assert ask(client, "dbsize") == b":500000\r\n"
            assert ask(client, "get", 999998) == b"$6\r\n999999\r\n"
            assert ask(client, "flushall") == b"+OK\r\n"
            client.sendall(b"*%d\r\n" % (MEGABYTE + 1))
            assert receive_all(client) == b"-ERR Protocol error: invalid multibulk length\r\n"
        server.stop()


def test_a_million_requests_at_once_are_answered():
    with Server("kv_server") as server:
        with server.connect() as client:
            for _ in range(10):
                client.sendall(b"ping\r\n" * 10000 + encode("incr", "n") * 1000)
            replies = receive(client, 10 * 10000 * 7 + sum(len(f":{i}\r\n") for i in range(1, 10001)))
            assert replies.endswith(b":9999\r\n:10000\r\n")
        server.stop()


def test_too_many_clients_are_told_so_until_one_has_gone():
    with kv.Redis("--maxclients", 2) as redis, Server("kv_server", "--maxclients", 2) as server:
        for each in (redis, server):
            with each.connect() as first, each.connect() as second:
                assert ask(first, "ping") == ask(second, "ping") == b"+PONG\r\n"
                with each.connect() as third:
                    assert receive_all(third) == b"-ERR max number of clients reached\r\n"
                second.close()
                kv.until(lambda: kv.info(first, "connected_clients") == 1)
                with each.connect() as third:
                    assert ask(third, "ping") == b"+PONG\r\n"
        server.stop()


def answers(client):
    """Whether it is served; who isn't has been cut off."""
    try:
        return ask(client, "ping") == b"+PONG\r\n"
    except ConnectionError:
        return False


def test_more_clients_than_descriptors_are_warned_of_and_turned_away():
    for poller in kv.POLLERS:
        with Server("/bin/sh", "-c", 'ulimit -n 64; exec "$0" "$@"', driver.directory / "kv_server",
                    "--poller", poller, "--maxclients", 1000) as server:
            clients = [server.connect() for _ in range(100)]
            served = sum(map(answers, clients))
            assert answers(clients[0]) and 40 < served < 64, (poller, served)
            for client in clients[1:]:
                client.close()
            kv.until(lambda: kv.info(clients[0], "connected_clients") == 1)
            with server.connect() as late:
                assert answers(late), poller
            clients[0].close()
            server.signal(signal.SIGTERM)
            status, _, errors = server.end()
            assert status == 0 and "1000 clients need 1032 descriptors" in errors, (status, errors)


def test_idle_clients_are_closed_and_busy_ones_are_not():
    with Server("kv_server", "--timeout", 1) as server:
        with server.connect() as idle, server.connect() as half, server.connect() as busy:
            half.sendall(b"*2\r\n$3\r\nget\r\n")
            kv.until(lambda: ask(busy, "ping") == b"+PONG\r\n" and
                     kv.info(busy, "connected_clients") == 1)
            assert receive_all(idle) == receive_all(half) == b""
        server.stop()


@contextlib.contextmanager
def bound(addresses, *arguments):
    """A server at several addresses and one port; it says the first."""
    port = kv.free_port()
    with driver.Program("kv_server", "--port", port, "--bind", addresses, *arguments) as server:
        said = server.line()
        assert said == f"listening on {addresses.split(',')[0]}:{port}", said or server.end()
        server.port, server.connect = port, lambda: kv.connect(port)
        yield server
        server.signal(signal.SIGTERM)
        assert server.end() == (0, "", "")


def test_it_listens_at_several_addresses():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as reason:
            raise driver.Skip(f"no ::1: {reason}") from reason
    for poller in kv.POLLERS:
        with bound("127.0.0.1,127.0.0.2,::1", "--poller", poller) as server:
            for host in ("127.0.0.1", "127.0.0.2", "::1"):
                with kv.connect(server.port, host) as client:
                    assert ask(client, "incr", "n").startswith(b":"), (poller, host)
            with server.connect() as client:
                assert ask(client, "get", "n") == b"$1\r\n3\r\n", poller


def test_sixteen_addresses_are_the_most():
    addresses = [f"127.0.0.{i}" for i in range(1, 18)]
    with bound(",".join(addresses[:16])) as server:
        for host in addresses[:16]:
            with kv.connect(server.port, host) as client:
                assert ask(client, "ping") == b"+PONG\r\n", host
    status, _, errors = driver.run("kv_server", "--bind", ",".join(addresses))
    assert status == 2 and "127.0.0.17" in errors, (status, errors)


def test_other_addresses_need_a_password():
    for address in ("0.0.0.0", "::", "127.0.0.1,0.0.0.0"):
        status, _, errors = driver.run("kv_server", "--bind", address)
        assert status == 2 and address.split(",")[-1] in errors, (status, errors)


def test_a_backlog_that_the_system_clips_is_told():
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        most = int(file.read())
    if most >= 65535:
        raise driver.Skip("the system clips nothing")
    with Server("kv_server", "--backlog", most + 1) as server:
        server.signal(signal.SIGTERM)
        status, _, errors = server.end()
        assert status == 0 and f"clipped to somaxconn, {most}" in errors, (status, errors)


def test_it_ends_as_redis_does_and_starts_again_on_the_same_port():
    ends = {"SIGTERM": lambda server: server.process.send_signal(signal.SIGTERM),
            "SIGINT": lambda server: server.process.send_signal(signal.SIGINT),
            "shutdown": lambda server: server.connect().sendall(encode("shutdown")),
            "shutdown nosave": lambda server: server.connect().sendall(encode("shutdown", "nosave"))}
    port = kv.free_port()
    for name, end in ends.items():
        with kv.Redis() as redis:
            with redis.connect() as client:
                assert ask(client, "ping") == b"+PONG\r\n"
                end(redis)
                assert receive_all(client) == b""
            wanted = redis.process.wait(driver.LIMIT)
        for poller in kv.POLLERS:
            with Server("kv_server", "--poller", poller, "--port", port) as server:
                with server.connect() as client, server.connect() as half:
                    half.sendall(b"*2\r\n$3\r\nget\r\n")
                    assert ask(client, "ping") == b"+PONG\r\n"
                    end(server)
                    assert receive_all(client) == receive_all(half) == b"", (name, poller)
                assert server.end() == (wanted, "", ""), (name, poller)


def test_what_was_sent_before_quit_is_answered_and_nothing_after():
    request = encode("set", "k", "v") + encode("get", "k") + encode("quit") + encode("set", "k", "w")
    with kv.Redis() as redis, Server("kv_server") as server:
        for each in (redis, server):
            with each.connect() as client:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"+OK\r\n$1\r\nv\r\n+OK\r\n"
            with each.connect() as client:
                assert ask(client, "get", "k") == b"$1\r\nv\r\n"
        server.stop()


def test_requests_are_answered_after_the_client_has_ended_its_side():
    with kv.Redis() as redis, Server("kv_server") as server:
        for each in (redis, server):
            with each.connect() as client:
                client.sendall(encode("echo", "x") * 100 + b"*2\r\n$4\r\necho")
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"$1\r\nx\r\n" * 100
        server.stop()


def test_memory_is_counted():
    with Server("kv_server") as server:
        with server.connect() as client:
            used = kv.info(client, "used_memory")
            ask(client, "set", "k", "x" * 100000)
            grown = kv.info(client, "used_memory") - used
            assert 100000 <= grown < 110000, grown
            kv.ask_all(client, [encode("rpush", "l", "x" * 100)] * 1000)
            assert kv.info(client, "used_memory") - used > grown + 100000
            ask(client, "del", "k", "l")
            assert kv.info(client, "used_memory") - used < 10000
        server.stop()


driver.main()
