# SPDX-License-Identifier: BSL-1.0
"""kv_server beside redis-server: the same requests get the same replies, byte for byte, and as sets where
the order is free. What INFO, COMMAND and CLIENT LIST tell is compared by its shape.
"""
import io
import random
import re
import socket
import threading

import driver
import kv
from driver import Server, receive, receive_all
from kv import ask, ask_all, encode

# What there must be, with the words that an option or a subcommand adds.
DEMANDED = """ping echo select set set.ex set.px set.nx set.xx set.keepttl set.get get getset setnx setex mset
mget append strlen incr decr incrby decrby del unlink exists expire pexpire ttl pttl persist keys scan
scan.match scan.count scan.type dbsize flushall lpush rpush lpop rpop llen lrange hset hget hdel hgetall hlen
type info client.list client.setname client.getname config.get command quit shutdown auth hello.2""".split()
ELSEWHERE = ["shutdown"]  # test_kv_limits.py

# Each line is sent to both servers, and the replies compared byte for byte.
SCRIPT = """ping|ping a|ping a b|echo hi|PING|select 99|select x|select 3|set here 1|select 0|exists here
set k v|get k|set k v nx|set k w xx get|set n 1 nx get|get n|set k v foo|set k v ex|set k v ex 0
set k v px -1|set k v ex 9223372036854775807|set k v ex x|set k v ex 100|ttl k|set k w keepttl|ttl k
set k w px 100000|ttl k|set k w|ttl k|ttl no|set k v nx xx|set k v ex 1 px 1|set k v keepttl ex 1|getset k z
get k|setnx k 1|setnx fresh 1|setex e 100 v|ttl e|setex e 0 v|setex e x v|mset a 1 b 2|mset a 1 b|mget a b no
append a 23|append new x|strlen a|strlen no|incr a|decr a|incrby a 10|decrby a 3|incrby a x|incr k
set big 9223372036854775807|incr big|decrby a -9223372036854775808|set z 01|incr z|del a b no|unlink k
exists fresh fresh no|expire fresh 100|ttl fresh|persist fresh|persist fresh|persist no|pexpire no 1
pexpire fresh 100000|ttl fresh|expire fresh -1|exists fresh|expire e x|expire e 9223372036854775807|pttl no
lpush l a b c|rpush l d e|llen l|llen no|lrange l 0 -1|lrange l 1 2|lrange l -2 -1|lrange l 5 9
lrange l -100 100|lrange l x 1|lrange no 0 1|lpop l|rpop l|lpop l 2|lpop l 0|lpop l -1|lpop l x|lpop no
lpop no 2|rpop l 9|exists l|lpop l 1 2|rpush l a|get l|incr l|hset l a b|append l x|strlen l|set l v get
getset l v|mget l|hget l a|hlen l|hdel l a|hset h a 1 b 2|hset h a 3 c 4|hset h a|hset h a 1 b|hget h a
hget h no|hget no no|hlen h|hlen no|hdel h a no|hdel h b c|exists h|hset h a 1|lpush h x|hgetall h|hgetall no
type h|type l|type z|type no|set h v|type h|client setname me|client getname|client setname|client foo
client id x|config foo|config get|config get databases|config get appendonly|config get save
config get timeout|config get tcp-backlog|config get maxclients|config get nothing
scan x|scan 0 count 0|scan 0 count x|scan 0 foo 1|scan 0 match|keys [z]|keys ?ig|keys no*|keys a b
auth x|auth x y z|auth a b|hello x|hello 4|flushall foo|dbsize|foo a b c|flushall|select 3|dbsize
flushall async|flushall sync|type|set k v XX|SeT k v Nx|gEt k
shutdown foo|shutdown abort|shutdown abort nosave|set k v ex 1000 ex 10|ttl k""".replace("\n", "|").split("|")

# As lines of their own, with quotes and blanks.
INLINE = ["", "  ", "\t", 'set k "a b"', "get k", r'set k "\n\r\t\a\b\\\"\q"', "get k",
          r"set k 'it\'s \n'", "get k", 'set k ""', "get k", "  get   k  ", '"get" k', "set 'a b' 1",
          "exists 'a b'", "get\tk"]



# What has an order that is free, or numbers that are, on the data that FILL makes.
FILL = ["hset h " + " ".join(f"f{i} {i}" for i in range(300)), "rpush l a b", "set s v",
        "mset " + " ".join(f"k{i} {i}" for i in range(300))]
FREE = """hgetall h|keys *|keys k?|keys k[0-9]|keys k[^0-9]*|keys k[^5]?|keys *9*9*|keys \\k1|keys [z-a]
config get databases maxclients|scan 0 count 100000|scan 0 match k1* count 100000
scan 0 type hash count 100000|hello|hello 2
type h""".replace("\n", "|").split("|")

# Compared by test cases of their own.
SHAPES = ["info", "command", "client list"]

# With a password.
GUARDED = """hello 2|hello|get x|ping|echo x|nosuch|get|auth no|auth default no|auth nobody word
hello 2 auth default no|hello 2 auth|get x|auth word|get x|hello 2 auth default no|get x
hello 2 auth default word|auth default word|quit""".replace("\n", "|").split("|")

# What a command does to each type: with the key after the name.
ON_KEYS = """get|strlen|set v|getset v|setnx v|setex 1000 v|append v|incr|decr|incrby 5|decrby 5|lpush v w
rpush v w|lpop|rpop|lpop 1|rpop 0|llen|lrange 0 -1|hset f v|hset f v g w|hget f|hdel f g|hgetall|hlen|type
exists|expire 1000|expire -1|pexpire 1000000|persist|ttl|del|unlink|set v nx|set v xx|set v get
set v keepttl|set v xx get|set v nx get|mget|mset v|set v ex 1000 xx""".replace("\n", "|").split("|")


def comparable(request, answer):
    """A reply without what is free: the order of sets, the number of a client, the version, and a few
    seconds of a time to live."""
    words = request.split()
    name = words[2].lower() if request[:1] == b"*" else words[0].lower()
    if name in (b"ttl", b"pttl") and answer[:1] == b":" and int(answer[1:]) > 10:
        return b":about %d" % round(int(answer[1:]), -1 if name == b"ttl" else -4)
    if name not in (b"keys", b"hgetall", b"scan", b"hello", b"config") or answer[:1] != b"*":
        return answer
    found = kv.value(io.BytesIO(answer))
    if name == b"scan":
        return found[0], sorted(found[1])
    if name in (b"hgetall", b"hello", b"config"):
        found = [pair for pair in zip(found[::2], found[1::2]) if pair[0] not in (b"id", b"version")]
    return sorted(found) if name != b"hello" else found


def compare(requests, *arguments, pollers=("epoll",)):
    """Sends the same to a redis-server and to kv_server: what Redis answered."""
    with kv.Redis(*arguments) as redis, redis.connect() as client:
        wanted = list(map(comparable, requests, ask_all(client, requests)))
    for poller in pollers:
        with Server("kv_server", "--poller", poller, *arguments) as server:
            with server.connect() as client:
                got = list(map(comparable, requests, ask_all(client, requests)))
            wrong = [found for found in zip(requests, wanted, got) if found[1] != found[2]]
            assert not wrong, (poller, len(wrong), wrong[:5])
            server.stop()
    return wanted


def lines(script):
    return [line.encode() + b"\r\n" for line in script]


def calls(script):
    return [encode(*line.split()) for line in script]


def test_it_answers_as_redis_does():
    compare(calls(SCRIPT), pollers=kv.POLLERS)
    compare(lines(SCRIPT), pollers=kv.POLLERS)
    compare(calls(FILL + FREE))
    compare(calls(GUARDED), "--requirepass", "word")


def test_the_scripts_leave_no_command_out():
    done = [*zip(SCRIPT, compare(calls(SCRIPT))), *zip(FREE, compare(calls(FILL + FREE))[len(FILL):]),
            *zip(GUARDED, compare(calls(GUARDED), "--requirepass", "word")),
            *((line, b"+") for line in SHAPES)]
    well = [line.lower().split() for line, answer in done if answer[:1] != b"-"]

    def tried(wanted):
        name, _, word = wanted.partition(".")
        return any(words[0] == name and (not word or word in words) for words in well)

    missing = [wanted for wanted in DEMANDED if not tried(wanted) and wanted not in ELSEWHERE]
    assert not missing, missing


def test_lines_with_quotes_and_blanks_are_read_as_redis_reads_them():
    # An empty line has no reply, so that each is followed by a ping.
    with kv.Redis() as redis, Server("kv_server") as server:
        for line in INLINE:
            found = []
            for each in (redis, server):
                with each.connect() as client:
                    client.sendall(line.encode() + b"\r\nping\r\nquit\r\n")
                    found.append(receive_all(client))
            assert found[0] == found[1] and found[0].endswith(b"+PONG\r\n+OK\r\n"), (line, found)
        server.stop()


def test_any_number_of_arguments_gets_the_same_reply():
    names = {wanted.split(".")[0] for wanted in DEMANDED} - {"shutdown", "quit", "info", "command"}
    compare([encode(name, *["1000000"] * count) for name in sorted(names) for count in range(7)
             if (name, count) not in (("client", 1), ("scan", 1))])


def test_every_command_does_to_every_type_what_it_does_in_redis():
    requests = []
    for line in ON_KEYS:
        name, *rest = line.split()
        for key in ("none", "text", "number", "list", "hash", "mortal"):
            requests += calls(["flushall", "set text v", "set number 41", "rpush list a b", "hset hash f 1",
                               "set mortal 7 ex 1000"])
            requests.append(encode(name, key, *rest))
            requests += [encode(*after.split(), key) for after in ("type", "ttl", "get", "hgetall")]
            requests += [encode("lrange", key, 0, -1), encode("dbsize")]
    compare(requests)


def at_random(draw):
    """A request out of a small world, so that keys meet."""
    key, other, field = draw.choice("abcde"), draw.choice("abcde"), draw.choice("fgh")
    value = draw.choice(["1", "-1", "0", "10", "x", "", "hello\r\n", "3.5", " 1", "01", "-0", "+1",
                         str(2**63 - 1), str(-2**63), "x" * draw.randrange(3000)])
    at, to = (draw.choice(["0", "1", "-1", "2", "-2", "-100", "100", "x"]) for _ in range(2))
    options = draw.sample(["nx", "xx", "get", "keepttl", "ex", "1000", "px", "1000000"], draw.randrange(5))
    return draw.choice([
        ["set", key, value], ["set", key, value, *options], ["get", key], ["getset", key, value],
        ["setnx", key, value], ["setex", key, draw.choice(["1000", "0", "-1"]), value],
        ["mset", key, value, other, value], ["mget", key, other, key], ["append", key, value],
        ["strlen", key], ["incr", key], ["decr", key], ["incrby", key, value], ["decrby", key, value],
        ["del", key, other], ["unlink", key], ["exists", key, other], ["persist", key],
        ["expire", key, draw.choice(["1000", "-1"])], ["ttl", key], ["type", key], ["dbsize"],
        ["lpush", key, value, field], ["rpush", key, field, value], ["lpop", key], ["rpop", key],
        ["lpop", key, at], ["rpop", key, at], ["llen", key], ["lrange", key, at, to],
        ["hset", key, field, value], ["hset", key, field, value, other, value], ["hget", key, field],
        ["hdel", key, field, other], ["hgetall", key], ["hlen", key], ["select", draw.choice("01")],
        ["keys", draw.choice(["*", "[a-c]", "?", "[^a]", "a*"])]])


def test_random_requests_get_the_same_replies():
    draw = random.Random(7)
    compare([encode(*at_random(draw)) for _ in range(20000)])


def test_it_refuses_broken_requests_as_redis_does():
    broken = [b"*1\r\nx\r\n", b"*x\r\n", b"*2147483648\r\n", b"*1\r\n$-1\r\n", b"*\r\n",
              b"*1\r\n$9999999999\r\n", b"*1\r\n$x\r\n", b"*1\r\n$\r\n", b"*1\r\n:1\r\n", b'get "x\r\n',
              b'get "x"y\r\n', b"get 'x\r\n", b"x" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000,
              b"ping\r\n*1\r\nx\r\nping\r\n", b"*1\r\n$4\r\nping\r\n*1\r\nx\r\n"]
    harmless = [b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"\r\n\r\n", b"\n", b"ping\n", b"*1\r\n$0\r\n\r\n",
                b"$1\r\n", b"+ping\r\n", b"GET / HTTP/1.0\r\n",
                b"POST / HTTP/1.0\r\n", b"host: x\r\nping\r\n"]
    many = b"*11\r\n" + b"$1\r\nx\r\n" * 11

    def refusal(server, request):
        with server.connect() as client:
            client.sendall(request)
            return receive_all(client)

    with kv.Redis() as redis, Server("kv_server") as server:
        for request in broken + [each + b"quit\r\n" for each in harmless]:
            wanted, got = refusal(redis, request), refusal(server, request)
            assert wanted == got, (request[:20], wanted, got)
            assert (b"-ERR Protocol error" in got) == (request in broken), request
        server.stop()
    word = ("--requirepass", "word")
    with kv.Redis(*word) as redis, Server("kv_server", *word) as server:
        for request in (many, b"*2\r\n$3\r\nget\r\n$16385\r\n"):
            wanted, got = refusal(redis, request), refusal(server, request)
            assert wanted == got and b"unauthenticated" in got, (request, wanted, got)
        server.stop()


def test_requests_cut_at_any_place_are_answered():
    draw = random.Random(8)
    requests = [encode(*at_random(draw)) for _ in range(3000)]
    text = b"".join(requests)
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller) as server:
            with server.connect() as client:
                wanted = ask_all(client, requests)
                ask(client, "flushall")
            with server.connect() as client, client.makefile("rb") as stream:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sender = threading.Thread(target=send_in_pieces, args=(client, text, draw))
                sender.start()
                got = [kv.reply(stream) for _ in requests]
                sender.join()
            wrong = [found for found in zip(requests, wanted, got) if found[1] != found[2]
                     and comparable(found[0], found[1]) != comparable(found[0], found[2])]
            assert not wrong, (poller, len(wrong), wrong[:5])
            server.stop()


def send_in_pieces(client, text, draw):
    at = 0
    while at < len(text):
        end = at + draw.choice([1, 2, 3, 10, 100, 1000, 10000])
        client.sendall(text[at:end])
        at = end


def scanned(client, *options):
    """What a whole SCAN returns; between its steps the caller may do as it likes."""
    cursor = b"0"
    while True:
        cursor, keys = ask(client, "scan", cursor, *options, read=kv.value)
        yield keys
        if cursor == b"0":
            return


def test_scan_returns_every_key_that_was_there_while_the_table_grows_and_shrinks():
    with Server("kv_server") as server, server.connect() as client:
        ask_all(client, [encode("set", f"there{i}", i) for i in range(2000)])
        seen, grown = set(), 0
        for keys in scanned(client, "match", "there*", "count", 20):
            seen |= set(keys)
            if grown % 5000 == 4900:
                ask_all(client, [encode("del", *(f"new{i}" for i in range(grown)))])
            ask_all(client, [encode("set", f"new{grown + i}", 1) for i in range(100)])
            grown += 100
        assert len(seen) == 2000 and grown > 5000, (len(seen), grown)


def test_scan_in_steps_finds_what_it_finds_in_redis():
    with kv.Redis() as redis, Server("kv_server") as server:
        found = []
        for each in (redis, server):
            with each.connect() as client:
                ask_all(client, calls(FILL))
                found.append([sorted({key for keys in scanned(client, *options.split()) for key in keys})
                              for options in ("", "count 1", "match k*1 count 7", "type list", "type none",
                                              "type string match [hls]")])
        assert found[0] == found[1], found
        server.stop()


def fields(text):
    """INFO's fields with the names of their sections."""
    section, found = b"", {}
    for line in text.split(b"\r\n"):
        if line.startswith(b"# "):
            section = line
        elif line:
            name, value = line.split(b":", 1)
            found[section, name] = value
    return found


def test_info_has_fields_of_redis():
    needed = """redis_version tcp_port uptime_in_seconds connected_clients maxclients used_memory
        used_memory_human total_connections_received total_commands_processed expired_keys role db0"""
    with kv.Redis() as redis, Server("kv_server") as server:
        with redis.connect() as one, server.connect() as other:
            for client in (one, other):
                ask_all(client, calls(["set k v", "set l v", "info"]))
            wanted, got = (fields(ask(client, "info", read=kv.value)) for client in (one, other))
        assert got.keys() <= wanted.keys(), got.keys() - wanted.keys()
        assert {name.decode() for _, name in got} >= set(needed.split()), got
        for name, text in got.items():
            assert re.fullmatch(rb"\d+", text) is None or wanted[name].isdigit(), (name, text, wanted[name])
            assert re.sub(rb"[\d.]+[KMG]?", b"0", text) == re.sub(rb"[\d.]+[KMG]?", b"0", wanted[name]), name
        assert got[b"# Keyspace", b"db0"] == wanted[b"# Keyspace", b"db0"]
        assert int(got[b"# Server", b"tcp_port"]) == server.port
        server.stop()


def test_client_list_has_fields_of_redis_and_a_line_for_each_client():
    with kv.Redis() as redis, Server("kv_server") as server:
        found = []
        for each in (redis, server):
            with each.connect() as first, each.connect() as second:
                ask(second, "client", "setname", "second")
                ask(second, "select", "3")
                text = ask(first, "client", "list", read=kv.value).decode()
                assert text.endswith("\n")
                rows = [dict(word.split("=", 1) for word in line.split(" ")) for line in text.splitlines()]
                addresses = ["%s:%d" % client.getsockname() for client in (first, second)]
            rows.sort(key=lambda row: int(row["id"]))
            assert [row["addr"] for row in rows] == addresses
            assert [(row["name"], row["db"]) for row in rows] == [("", "0"), ("second", "3")]
            found.append(rows[0].keys())
        assert found[1] <= found[0] and {"id", "addr", "fd", "name", "age", "idle", "db"} <= found[1], found
        server.stop()


def test_command_lists_what_there_is_with_the_arity_of_redis():
    with kv.Redis() as redis, Server("kv_server") as server:
        with redis.connect() as one, server.connect() as other:
            wanted, got = ({row[0]: row for row in ask(client, "command", read=kv.value)}
                           for client in (one, other))
            assert ask(other, "command", "count", read=kv.value) == len(got)
        assert {name.decode() for name in got} >= {each.split(".")[0] for each in DEMANDED}
        for name, row in got.items():
            assert row[1] == wanted[name][1] and len(row) >= 6, (row, wanted[name])
            assert all(isinstance(a, type(b)) for a, b in zip(row, wanted[name])), row
        server.stop()


def test_keys_expire_without_being_asked_for():
    for poller in kv.POLLERS:
        with Server("kv_server", "--poller", poller) as server, server.connect() as client:
            assert ask(client, "set", "k", "v", "px", 1) == b"+OK\r\n"
            kv.until(lambda: ask(client, "dbsize") == b":0\r\n")
            assert kv.info(client, "expired_keys") == 1, poller


def test_a_key_has_gone_when_its_time_has_come():
    with Server("kv_server") as server, server.connect() as client:
        ask(client, "set", "k", "v", "px", 100000)
        assert 0 < ask(client, "pttl", "k", read=kv.value) <= 100000
        assert ask(client, "pexpire", "k", 30, read=kv.value) == 1
        kv.until(lambda: ask(client, "pttl", "k", read=kv.value) < 0)
        assert ask(client, "pttl", "k") == b":-2\r\n"
        replies = [ask(client, *words.split()) for words in ("get k", "exists k", "type k", "dbsize")]
        assert replies == [b"$-1\r\n", b":0\r\n", b"+none\r\n", b":0\r\n"]
        assert ask(client, "set", "k", "v", "nx") == b"+OK\r\n"


driver.main()
