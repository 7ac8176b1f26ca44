# SPDX-License-Identifier: BSL-1.0
"""The examples that need no client: what they print, and how they end."""
import pathlib

import driver
from driver import Program, run


def test_timers_run_in_order():
    assert run("timers") == (0, "first of all\ntick 1\ntick 2\na quarter of a second later\n"
                                "tick 3\n", "")


def test_turns_prints_the_order_of_a_turn_on_every_poller():
    golden = pathlib.Path(__file__).with_name("turns.txt").read_text(encoding="utf-8")
    for poller in ("epoll", "poll", "select"):
        assert run("turns", "--poller", poller) == (0, golden, ""), poller


def test_what_threads_find_is_added_up_on_the_loop():
    status, out, err = run("post_from_thread")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == [f"{i} of 4 threads have finished" for i in (1, 2, 3, 4)], out
    assert lines[4:] == ["78498 primes below 1000000"], out


def test_a_foreign_loop_and_rondo_take_turns():
    with Program("embed") as program:
        wanted = {"rondo: a task from another thread", "rondo: tick 1", "rondo: tick 2"}
        while wanted:
            wanted.discard(program.line())
        program.tell("hello\n")
        while (line := program.line()) != "the foreign loop read: hello":
            assert line.startswith("rondo: tick "), line
        while (line := program.line()) and line != "rondo: tick 5":
            pass
        assert line == "rondo: tick 5"
        status, _, err = program.end()  # closes its input
        assert (status, err) == (0, "")


def test_a_poller_without_a_handle_cannot_be_embedded():
    assert run("embed", "--poller", "poll") == (1, "", "embedding poll: operation not supported\n")


def test_a_command_is_heard_to_its_end():
    status, out, err = run("run_command", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert status == 3 and out == "one\ntwo\n" and err.endswith(": exit status 3]\n"), (out, err)
    status, out, err = run("run_command", "sh", "-c", "kill -9 $$")
    assert status == 137 and out == "" and err.endswith(": signal 9]\n"), (out, err)
    status, out, err = run("run_command", "nonesuch-of-rondo")
    assert status == 127 and "nonesuch-of-rondo" in out, (out, err)


def test_a_command_may_say_much_and_waits_for_its_pipe_like_any_other():
    status, out, _ = run("run_command", "sh", "-c", "yes 0123456789 | head -n 100000")
    assert status == 0 and out == "0123456789\n" * 100000, (status, len(out))


def test_what_a_command_says_comes_at_once():
    with Program("run_command", "sh", "-c", "echo ready; exec cat >/dev/null") as program:
        assert program.line() == "ready"  # the command waits for its input to end
        assert program.end()[0] == 0


def test_a_server_and_its_clients_run_on_a_poller_of_ones_own():
    status, out, err = run("custom_poller")
    assert (status, err) == (0, ""), err
    seen = driver.figures(out)
    assert (seen["connections"], seen["messages"], seen["errors"]) == (100, 10000, 0), out


def test_a_word_that_is_not_understood_ends_the_program():
    for name in ("turns", "embed", "upper_server", "idle_server", "graceful_shutdown", "load"):
        status, out, err = run(name, "--nonesuch")
        assert status == 2 and out == "", (name, status)
        assert "not understood: --nonesuch\nusage: " in err, err
    for arguments in (["--port", "65536"], ["--port", "x"], ["--port"], ["--poller", "kqueue"],
                      ["--buffer", "0"]):
        status, _, err = run("upper_server", *arguments)
        assert status == 2 and "not understood: " + arguments[-1] in err, err


driver.main()
