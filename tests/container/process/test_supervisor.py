"""Children: started, told, reaped and ended. Each test is a process of its own, for a supervisor takes over
the signals and all the children of the process that it is in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.container.process.child import Command, spawn
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.process.tree import descendants
from tests.support.processes import runs, wait_until

PRELUDE = """
import os, signal, sys, threading, time
from byo_container.container.process.child import Command
from byo_container.container.process.run import run
from byo_container.container.process.supervisor import Supervisor
from byo_container.container.process.tree import descendants
python = lambda code, **more: Command([sys.executable, "-c", code], "child", **more)
"""


def supervise(code: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs `code` behind the prelude."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)


def test_output_is_passed_on_while_its_end_is_kept() -> None:
    done = supervise("""
        (child,) = run([[python("import sys; print('out'); print('x' * 200_000, file=sys.stderr)", capture=True)]], 1)
        print(child.status, len(child.tail()))
    """)
    assert done.stdout == "out\n0 65536\n"
    assert len(done.stderr) == 200_001


@pytest.mark.parametrize(
    ("code", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137), ("os.kill(os.getpid(), 15)", 143)]
)
def test_a_status_is_a_shells(code: str, status: int) -> None:
    done = supervise(f"""
        (child,) = run([[python("import os, sys; {code}")]], 1)
        print(child.status)
    """)
    assert done.stdout == f"{status}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/nowhere/at/all"], "cannot start child (/nowhere/at/all): [Errno 2] No such file or directory"),
        (["true", "nul\0"], "cannot start child (true): its argument 1 has a NUL: 'nul\\x00'"),
        (["true", "\ud800"], "cannot start child (true): its argument 1 has what is no character: '\\ud800'"),
    ],
)
def test_what_cannot_be_started_is_named(argv: list[str], said: str) -> None:
    done = supervise(f"""
        try:
            run([[Command({argv!r}, "child")]], 1)
        except Exception as error:
            print(type(error).__name__, error)
    """)
    assert done.stdout.startswith(f"JobError {said}")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "its argument 1 is too long: 200000 bytes, and no more than 131071 are possible"),
        ({"A=B": "1"}, "the environment variable 'A=B' has '=' in its name"),
        ({"A": "x\0"}, "the environment variable 'A' has a NUL"),
        ({"A": "x" * 200_000}, "the environment variable 'A' is too long: 200002 bytes"),
    ],
)
def test_an_argument_or_a_variable_that_no_process_can_have_is_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(JobError) as refused:
        spawn(Command(["true", "fits" if env else "x" * 200_000], "child", env))
    assert str(refused.value).startswith(f"cannot start child (true): {said}")


def test_the_tail_is_the_stream_with_the_traceback() -> None:
    done = supervise("""
        code = "import sys, traceback\\ntry: 1/0\\nexcept Exception: traceback.print_exc(file=sys.stdout)"
        (child,) = run([[python(code + "\\nprint('a warning', file=sys.stderr)", capture=True)]], 1)
        print("tail:", child.tail().splitlines()[-1])
    """)
    assert done.stdout.endswith("tail: ZeroDivisionError: division by zero\n")


def test_what_a_daemon_prints_afterwards_says_nothing_about_the_child() -> None:
    done = supervise("""
        code = '''
        import os, signal, time
        read, write = os.pipe()
        if os.fork() == 0:
            signal.signal(15, lambda *_: (print("a daemon ends", flush=True), os._exit(0)))
            os.write(write, b"x")
            time.sleep(60)
        os.read(read, 1)
        print("last words", flush=True)
        '''
        (child,) = run([[python(__import__("textwrap").dedent(code), capture=True)]], 1)
        print(repr(child.tail()))
    """)
    assert done.stdout == "last words\na daemon ends\n'last words\\n'\n"


def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for() -> None:
    began = time.monotonic()
    done = supervise("""
        code = "import os, time; print('last words', flush=True); os.fork() or time.sleep(60)"
        (child,) = run([[python(code, capture=True)]], 1)
        print(child.status)
    """)
    assert done.stdout == "last words\n0\n"
    assert time.monotonic() - began < 15


def test_the_first_that_fails_ends_the_others_and_the_following_stages() -> None:
    done = supervise("""
        commands = [python("import time; time.sleep(60)"), python("import sys; sys.exit(7)")]
        children = run([commands, [python("print('must not run')")]], 5)
        print([child.status for child in sorted(children, key=lambda child: child.ended_at)])
    """)
    assert done.stdout == "[7, 143]\n"


def test_a_stop_between_two_stages_is_not_forgotten() -> None:
    done = supervise("""
        ends_well = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('on'); time.sleep(60)"
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        try:
            run([[python(ends_well)], [python("print('must not run')")]], 5)
        except BaseException as error:
            print(type(error).__name__, error)
    """)
    assert done.stdout.splitlines()[-1] == "JobStopped before child began"
    assert "must not run" not in done.stdout


def test_a_stop_after_the_last_stage_is_too_late() -> None:
    done = supervise("""
        (child,) = run([[python("pass")]], 1)
        os.kill(os.getpid(), signal.SIGTERM)
        print(child.status)
    """)
    assert done.stdout == "0\n"


def test_who_does_not_end_in_time_is_killed() -> None:
    done = supervise("""
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        (child,) = run([[python("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")]], 0.5)
        print(child.status, child.overdue)
    """)
    assert done.stdout == "137 True\n"


def test_a_shell_that_dies_of_sigterm_at_once_does_not_cost_its_child_the_time_to_save() -> None:
    done = supervise("""
        saves = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(3), print('saved'), sys.exit(0)))"
        env = {"PYTHON": sys.executable, "CODE": saves + "; time.sleep(60)"}
        shell = Command(["bash", "-c", '"$PYTHON" -c "$CODE"; true'], "shell", env)
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        (child,) = run([[shell]], 20)
        print(child.status)
    """)
    assert done.stdout == "saved\n143\n"


def test_zombies_are_reaped_and_orphans_ended() -> None:
    # Both double-fork: one grandchild ends at once, the other would sleep for a minute in a session of its own.
    done = supervise("""
        code = '''
        import os, time
        for sleep in (0, 60):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(sleep)
                os._exit(0)
            os.wait()
        time.sleep(1)
        '''
        with Supervisor() as supervisor:
            child = supervisor.start(python(__import__("textwrap").dedent(code)))
            print(supervisor.wait([child], 10), child.status)
            own = open(f"/proc/self/task/{os.getpid()}/children").read().split()
            print([pid for pid in own if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"])
            print(len(list(descendants(os.getpid()))))
        print(len(list(descendants(os.getpid()))))
    """)
    assert done.stdout == "True 0\n[]\n1\n0\n"


def test_children_end_when_the_supervisor_is_killed_outright() -> None:
    code = PRELUDE + 'with Supervisor() as s: print(s.start(python("import time; time.sleep(60)")).pid); s.poll(60)'
    process = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process, process.stdout:
        pid = int(process.stdout.readline())
        process.kill()
        wait_until(lambda: not runs(pid), "the child's end")


def test_descendants_are_found_though_a_name_hold_parentheses(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        wait_until(lambda: process.pid in set(descendants(os.getpid())), "the child to be listed")
    finally:
        process.kill()
        process.wait()
    assert process.pid not in set(descendants(os.getpid()))


def test_a_stop_flag_asks_and_gives_the_handler_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_child_whose_parent_died_before_it_could_ask_for_its_signal_ends() -> None:
    done = supervise("""
        import functools, subprocess
        from byo_container.container.process.child import _prepare_child
        for parent in (os.getpid(), 1):  # as if process 1 had started it, and died at once
            start = functools.partial(_prepare_child, parent)
            print(subprocess.run(["true"], preexec_fn=start).returncode)
    """)
    assert done.stdout.split() == ["0", "143"]
