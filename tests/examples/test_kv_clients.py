# SPDX-License-Identifier: BSL-1.0
"""kv_server and what others wrote against Redis: redis-cli, redis-benchmark and a program on hiredis. Each
sees the same as with redis-server.
"""
import pathlib
import subprocess
import tempfile

import driver
import kv
from driver import Server

HERE = pathlib.Path(__file__).parent
BENCHMARKS = ("ping_inline", "ping_mbulk", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "hset",
              "lrange_100", "lrange_600", "mset")
SESSION = """set greeting "hello \\x00 world"
get greeting
rpush l a b c
lrange l 0 -1
hset h f v
hgetall h
get l
get none
2 incr n
nosuch
select 1
dbsize
select 0
dbsize
client setname me
client getname
config get databases
type h
keys gr*
flushall
"""


def run(*command, feed=""):
    done = subprocess.run(list(map(str, command)), capture_output=True, input=feed.encode(),
                          timeout=driver.LIMIT)
    assert done.returncode == 0, done
    return done.stdout.decode(errors="replace")


def cli(server, *words, feed=""):
    return run("redis-cli", "-p", server.port, *words, feed=feed)


def test_a_program_on_hiredis_sees_no_difference():
    kv.need("redis-server", "cc")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/hiredis_client"
        built = subprocess.run(["cc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra",
                                str(HERE / "hiredis_client.c"), "-lhiredis", "-o", program],
                               capture_output=True, text=True)
        if "hiredis.h: No such file" in built.stderr:
            raise driver.Skip("no hiredis")
        assert (built.returncode, built.stderr) == (0, ""), built
        with kv.Redis() as redis:
            wanted = run(program, redis.port).splitlines()
        assert len(wanted) > 10000, wanted
        for poller in kv.POLLERS:
            with Server("kv_server", "--poller", poller) as server:
                got = run(program, server.port).splitlines()
                assert got == wanted, (poller, [pair for pair in zip(wanted, got) if pair[0] != pair[1]][:5])
                server.stop()


def test_redis_cli_shows_what_it_shows_of_redis():
    kv.need("redis-cli")
    with kv.Redis() as redis, Server("kv_server") as server:
        assert cli(server, feed=SESSION) == cli(redis, feed=SESSION)
        for words in (["set", "a", "b"], ["get", "a"], ["--no-raw", "get", "a"], ["--csv", "mget", "a", "x"],
                      ["-n", "3", "dbsize"], ["-r", "5", "incr", "n"]):
            assert cli(server, *words) == cli(redis, *words), words
        assert cli(server, "-x", "set", "file", feed="a\0\n") == "OK\n"
        assert cli(server, "get", "file") == "a\0\n\n"
        server.stop()


def test_redis_cli_fills_scans_and_looks_into_it():
    kv.need("redis-cli")
    commands = b"".join(kv.encode("set", f"key:{i}", i) for i in range(10000)).decode()
    with Server("kv_server") as server:
        assert "errors: 0, replies: 10000" in cli(server, "--pipe", feed=commands)
        assert len(set(cli(server, "--scan", "--pattern", "key:*").split())) == 10000
        assert "Sampled 10000 keys in the keyspace" in cli(server, "--bigkeys")
        assert "db0:keys=10000,expires=0" in cli(server, "info")
        assert cli(server, "shutdown", "nosave") == ""
        assert server.end()[0] == 0


def test_redis_benchmark_runs_all_that_it_can_do():
    kv.need("redis-benchmark")
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller) as server:
            for pipeline in (1, 16):
                said = run("redis-benchmark", "-e", "-p", server.port, "-n", 1000, "-P", pipeline, "-q", "-r",
                           100, "-t", ",".join(BENCHMARKS))
                assert "rror" not in said, said
                assert said.count("requests per second") == len(BENCHMARKS) + 1, said  # and fills a list
            server.stop()


driver.main()
