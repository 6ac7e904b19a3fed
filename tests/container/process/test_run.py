"""Running commands stage by stage."""

from __future__ import annotations

import time

import pytest

from tests.container.process.support import supervise


def test_output_is_passed_on_and_its_tail_kept() -> None:
    done = supervise("""
        (child,) = run([[python("import sys; print('out'); print('x' * 200_000, file=sys.stderr)", capture=True)]], 1)
        print(child.status, len(child.tail()))
    """)
    assert done.stdout == "out\n0 65536\n"
    assert len(done.stderr) == 200_001


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/nowhere/at/all"], "cannot start child (/nowhere/at/all): [Errno 2] No such file or directory"),
        (["true", "nul\0"], "cannot start child (true): its argument 1 has a NUL: 'nul\\x00'"),
        (["true", "\ud800"], "cannot start child (true): its argument 1 has what is no character: '\\ud800'"),
    ],
)
def test_command_that_cannot_be_started_is_a_joberror(argv: list[str], said: str) -> None:
    done = supervise(f"""
        try:
            run([[Command({argv!r}, "child")]], 1)
        except Exception as error:
            print(type(error).__name__, error)
    """)
    assert done.stdout.startswith(f"JobError {said}")


def test_first_failure_stops_the_other_commands_and_later_stages() -> None:
    done = supervise("""
        commands = [python("import time; time.sleep(60)"), python("import sys; sys.exit(7)")]
        children = run([commands, [python("print('must not run')")]], 5)
        print([child.status for child in sorted(children, key=lambda child: child.ended_at)])
    """)
    assert done.stdout == "[7, 143]\n"


def test_sigterm_between_two_stages_raises_jobstopped() -> None:
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


def test_sigterm_after_the_last_stage_is_ignored() -> None:
    done = supervise("""
        (child,) = run([[python("pass")]], 1)
        os.kill(os.getpid(), signal.SIGTERM)
        print(child.status)
    """)
    assert done.stdout == "0\n"


def test_daemon_that_keeps_pipes_open_does_not_delay_the_end() -> None:
    began = time.monotonic()
    done = supervise("""
        code = "import os, time; print('last words', flush=True); os.fork() or time.sleep(60)"
        (child,) = run([[python(code, capture=True)]], 1)
        print(child.status)
    """)
    assert done.stdout == "last words\n0\n"
    assert time.monotonic() - began < 15


def test_service_ends_with_the_work_and_fails_before_it() -> None:
    done = supervise("""
        work = python("import time; time.sleep(1)")
        service = python("import time; time.sleep(60)", service=True, needed_by="the other hosts")
        children = run([[work, service]], 5)
        print([child.status for child in children])
        early = python("", service=True, needed_by="the other hosts")
        children = run([[python("import time; time.sleep(60)"), early]], 5)
        print(*[child.reason() for child in children if child.command.service])
    """)
    assert done.stdout == "[0]\nchild ended, though the other hosts still need it\n"


def test_stop_source_ends_the_work() -> None:
    done = supervise("""
        class Elsewhere:
            grace_s = None
            def attend(self, supervisor):
                supervisor.on_poll = lambda: setattr(self, "grace_s", 5)
        (child,) = run([[python("import time; time.sleep(60)")], [python("print('must not run')")]], 60, Elsewhere())
        print(child.status)
    """)
    assert done.stdout == "143\n"
