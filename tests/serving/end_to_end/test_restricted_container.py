"""`serve` in a restricted container: a read-only file system with one writable folder, any user, no capabilities."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serving.support.server import Start

WITHOUT_CAPABILITIES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
ANOTHER_USER = [*WITHOUT_CAPABILITIES, "--reuid=12345", "--regid=12345", "--clear-groups"]
# The Python of a developer is often in a home that no other user may enter: all else in there is taken away.
OPEN_PYTHON = """
python=$1 closed=$2 place=$3; shift 3
if [ -n "$closed" ]; then
    mkdir -p "$place" && mount --bind "$python" "$place" && mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$python" && mount --bind "$place" "$python"
fi
exec "$@"
"""
# Everything that is mounted becomes read-only, and the folder $1 a new one that is not.
READ_ONLY = """
writable=$1; shift
for place in $(awk '{print $5}' /proc/self/mountinfo | sort -r); do
    case $place in /proc*|/sys*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac
done
mount -t tmpfs -o mode=1777 tmpfs "$writable"
if touch /usr/here "$SAGEMAKER_BASE_DIR/here" /dev/shm/here 2>/dev/null; then exit 9; fi
exec "$@"
"""


def shell(script: str, *arguments: object) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, arguments)]


def open_python(scratch: Path) -> list[str]:
    python = Path(sys.base_prefix)
    closed = next((str(folder) for folder in reversed(python.parents) if not folder.stat().st_mode & 0o001), "")
    return shell(OPEN_PYTHON, python, closed, scratch / "python")


def skip_unless_possible(prefix: list[str], root: Path) -> None:
    possible = os.geteuid() == 0 and shutil.which(prefix[0]) is not None
    if possible:
        command = [*prefix, sys.executable, "-c", "import byo_container.serving.main"]
        environ = {**os.environ, "SAGEMAKER_BASE_DIR": str(root)}
        possible = subprocess.run(command, env=environ, timeout=30, cwd="/", check=False).returncode == 0
    if not possible:
        pytest.skip("needs root, name spaces of its own, and a checkout that every user can read")


@pytest.fixture
def open_base(root: Path) -> Path:
    """The folder of a server, for every user to read and for none to write to."""
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in root.parents:
        if Path(tempfile.gettempdir()) in parent.parents:
            parent.chmod(0o755)
    return root


@pytest.mark.parametrize("switch", ["on", "off"])
def test_any_user_without_capabilities_can_serve(start: Start, open_base: Path, tmp_path: Path, switch: str) -> None:
    prefix = [*open_python(tmp_path), *ANOTHER_USER]
    skip_unless_possible(prefix, open_base)
    server = start(open_base, prefix=prefix, MODEL_SERVER_NGINX=switch).ready()
    assert server.ask([1]) == [1]
    assert server.post(data=b'"' + b"x" * 500_000 + b'"').status_code == 200  # through nginx's temporary files
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in server.processes()} == {12345}
    server.terminate()
    assert server.ended() == 0


def test_root_without_capabilities_can_serve(start: Start, root: Path) -> None:
    skip_unless_possible(WITHOUT_CAPABILITIES, root)
    server = start(root, prefix=WITHOUT_CAPABILITIES).ready()
    assert server.ask([1]) == [1]
    assert "emerg" not in server.log()  # nginx cannot join root's groups, and need not


@pytest.mark.parametrize("user", ["root", "another"])
def test_a_read_only_root_with_one_writable_folder_is_enough(
    start: Start, open_base: Path, tmp_path: Path, user: str
) -> None:
    (writable := tmp_path / "tmp").mkdir()
    prefix = [*open_python(tmp_path), *shell(READ_ONLY, writable), *(ANOTHER_USER if user == "another" else [])]
    skip_unless_possible(prefix, open_base)
    server = start(open_base, prefix=prefix, TMPDIR=str(writable)).ready()
    assert server.ask([1]) == [1]
    assert server.post(data=b'"' + b"x" * 500_000 + b'"').status_code == 200
    server.terminate()
    assert server.ended() == 0
