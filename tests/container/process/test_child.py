"""A command and the process that runs it."""

from __future__ import annotations

import pytest

from byo_container.container.failure import JobError
from byo_container.container.process.child import Command, spawn
from tests.container.process.support import supervise


@pytest.mark.parametrize(
    ("code", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137), ("os.kill(os.getpid(), 15)", 143)]
)
def test_status_is_that_of_a_shell(code: str, status: int) -> None:
    done = supervise(f"""
        (child,) = run([[python("import os, sys; {code}")]], 1)
        print(child.status)
    """)
    assert done.stdout == f"{status}\n"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "its argument 1 is too long: 200000 bytes, and no more than 131071 are possible"),
        ({"A=B": "1"}, "the environment variable 'A=B' has '=' in its name"),
        ({"A": "x\0"}, "the environment variable 'A' has a NUL"),
        ({"A": "x" * 200_000}, "the environment variable 'A' is too long: 200002 bytes"),
    ],
)
def test_invalid_argument_or_variable_is_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(JobError) as refused:
        spawn(Command(["true", "fits" if env else "x" * 200_000], "child", env))
    assert str(refused.value).startswith(f"cannot start child (true): {said}")


def test_tail_is_of_the_stream_with_the_traceback() -> None:
    done = supervise("""
        code = "import sys, traceback\\ntry: 1/0\\nexcept Exception: traceback.print_exc(file=sys.stdout)"
        (child,) = run([[python(code + "\\nprint('a warning', file=sys.stderr)", capture=True)]], 1)
        print("tail:", child.tail().splitlines()[-1])
    """)
    assert done.stdout.endswith("tail: ZeroDivisionError: division by zero\n")


def test_output_of_a_daemon_is_not_in_the_tail_of_the_child() -> None:
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


def test_child_exits_if_its_parent_ended_before_prctl() -> None:
    done = supervise("""
        import functools, subprocess
        from byo_container.container.process.child import _prepare_child
        for parent in (os.getpid(), 1):  # as if process 1 had started it, and died at once
            start = functools.partial(_prepare_child, parent, signal.SIGTERM)
            print(subprocess.run(["true"], preexec_fn=start).returncode)
    """)
    assert done.stdout.split() == ["0", "143"]
