# SPDX-License-Identifier: BSL-1.0
"""chat with several guests, one of whom never reads while the others talk."""
import re

import driver
from driver import Server

POLLERS = ("epoll", "poll", "select")


class Guest:
    """A client that reads whole lines."""

    def __init__(self, server):
        self.socket = server.connect()
        self.file = self.socket.makefile("rb")
        self.name = re.match(rb"\* you are (\w+);", self.hear()).group(1)

    def say(self, text):
        self.socket.sendall(text)

    def hear(self):
        return self.file.readline()

    def close(self):
        self.file.close()
        self.socket.close()


def test_what_one_says_the_others_hear():
    for poller in POLLERS:
        with Server("chat", "--poller", poller) as server:
            ann, ben = Guest(server), Guest(server)
            assert ann.hear() == b"* guest2 came\n"
            joe = Guest(server)
            assert ann.hear() == ben.hear() == b"* guest3 came\n"
            ann.say(b"hello\nand a half")
            assert ben.hear() == joe.hear() == b"guest1: hello\n", poller
            ann.say(b" line\n/name Ann\nhere\n")
            for guest in (ben, joe):
                assert guest.hear() == b"guest1: and a half line\n"
                assert guest.hear() == b"* guest1 is now Ann\n"
                assert guest.hear() == b"Ann: here\n"
            assert ann.hear() == b"* guest1 is now Ann\n"
            ann.close()
            assert ben.hear() == joe.hear() == b"* Ann left\n"
            ben.close()
            joe.close()
            server.stop()


def test_who_doesnt_read_misses_lines_and_holds_up_nobody():
    for poller in POLLERS:
        with Server("chat", "--poller", poller) as server:
            slow, ann, ben = Guest(server), Guest(server), Guest(server)
            assert ann.hear() == b"* guest3 came\n"
            total = 400
            for number in range(total):
                line = b"%d %s\n" % (number, b"x" * 60000)
                ann.say(line)
                assert ben.hear() == b"guest2: " + line, poller
            assert slow.hear() == b"* guest2 came\n"
            assert slow.hear() == b"* guest3 came\n"
            heard = missed = 0
            while missed == 0:
                line = slow.hear()
                told = re.match(rb"\* you missed (\d+) lines\n", line)
                if told:
                    missed = int(told.group(1))
                else:
                    assert line.startswith(b"guest2: %d x" % heard), line[:20]
                    heard += 1
            assert heard + missed == total, (heard, missed)
            for guest in (slow, ann, ben):
                guest.close()
            server.stop()


def test_a_line_without_end_ends_the_guest_alone():
    with Server("chat") as server:
        ann, ben = Guest(server), Guest(server)
        assert ann.hear() == b"* guest2 came\n"
        try:
            ben.say(b"x" * 1000000)
            assert ben.hear() == b""
        except ConnectionError:
            pass
        assert ann.hear() == b"* guest2 left\n"
        ann.close()
        ben.close()
        server.stop()


driver.main()
