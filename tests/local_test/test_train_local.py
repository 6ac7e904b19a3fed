"""train_local.sh --hosts, from beginning to end: namespaces where the tests run as root, loopback as a user who is not
root, and containers where an engine runs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_test import backends, train_local
from local_test.namespaces import why_not
from tests.support.processes import runs, wait_until
from tests.support.tree import OURS, make_tree

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "local_test/train_local.sh"
NOBODY = 65534
IMAGE = "byo-container-test:train_local"
DOCKERFILE = """
FROM python:3.11-slim-bookworm
COPY . /opt/byo
RUN printf '#!/bin/sh\\nexec python3 -c "from byo_container.cli import train; raise SystemExit(train())"\\n' \\
    >/usr/local/bin/train && chmod 755 /usr/local/bin/train
ENV PYTHONPATH=/opt/byo
"""

HEAD = """
import json, os, signal, socket, sys, time
host, hosts = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
model, output = os.environ["SM_MODEL_DIR"], os.environ["SM_OUTPUT_DATA_DIR"]
checkpoints = os.path.join(os.path.dirname(model), "checkpoints")

def write(folder, name, text):
    with open(os.path.join(folder, name), "w") as stream:
        stream.write(text)
"""
# The second host sends the first one a word.
MEETS = (
    HEAD
    + """
if host == hosts[0]:
    with socket.create_server(("", int(os.environ["MASTER_PORT"]))) as server:
        write(model, "heard", server.accept()[0].makefile().read())
else:
    for _ in range(100):
        try:
            connection = socket.create_connection((hosts[0], int(os.environ["MASTER_PORT"])))
            break
        except OSError:
            time.sleep(0.1)
    connection.sendall(f"of {host}, user {os.getuid()}".encode())
    connection.close()
print("channel:", *os.listdir(os.environ["SM_CHANNEL_TRAINING"]))
write(model, "clash", host)
write(output, f"from-{host}", host)
write(checkpoints, f"from-{host}", host)
for number in range(50):
    print("line", number, "of", host, "x" * 200)
    print("error", number, "of", host, "y" * 200, file=sys.stderr)
"""
)
WAITS = HEAD + "write(checkpoints, f'started-{host}', '')\ntime.sleep(61)\n"


@dataclass
class Play:
    """A TEST_DIR, and who calls train_local.sh with which options."""

    root: Path
    options: Sequence[str]
    names: Sequence[str]
    before: Sequence[str] = ()
    environ: dict[str, str] = field(default_factory=dict)
    user: int = field(default_factory=os.getuid)
    pids: list[int] = field(default_factory=list)

    def write(self, script: str, **hyperparameters: str) -> None:
        make_tree(
            self.root, code={"train.py": script}, hyperparameters=hyperparameters, channels={"training": {"a": ""}}
        )
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, self.user, -1)

    def start(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        process = subprocess.Popen(
            [*self.before, str(SCRIPT), *self.options, "--hosts", str(len(self.names)), *options],
            env={**inherited, "HOME": str(self.root), "TEST_DIR": str(self.root), **self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self.pids.append(process.pid)
        return process

    def run(self, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return finish(self.start(*options, **environ))

    def started(self) -> bool:
        return all((self.root / "checkpoints" / f"started-{name}").exists() for name in self.names)


def finish(process: subprocess.Popen[str], timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def as_nobody(*capabilities: str) -> list[str]:
    """What makes a root's command one of an ordinary user's, who still finds an interpreter in root's home."""
    if os.getuid() != 0:
        return []
    granted = ",".join(f"+{name}" for name in ("dac_read_search", *capabilities))
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return ["setpriv", *ids, f"--inh-caps={granted}", f"--ambient-caps={granted}"]


@pytest.fixture
def namespaces(tmp_path: Path) -> Play:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    return Play(tmp_path / "ml", ["--local"], ["algo-1", "algo-2"])


@pytest.fixture
def loopback(tmp_path: Path) -> Play:
    names = ["127.0.0.1", "127.0.0.2"]
    if os.getuid() == 0 and not shutil.which("setpriv"):
        return Play(tmp_path / "ml", ["--local", "--loopback"], names)
    return Play(tmp_path / "ml", ["--local"], names, as_nobody(), user=NOBODY if os.getuid() == 0 else os.getuid())


@pytest.fixture(scope="session")
def image() -> str:
    """An image with `train` and nothing else."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True).returncode:  # noqa: S607
        pytest.skip("no docker engine runs here")
    built = subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, "-f", "-", "."],  # noqa: S607
        input=DOCKERFILE,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    if built.returncode and "pull" in built.stderr:
        pytest.skip(f"docker finds no base image here: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return IMAGE


@pytest.fixture
def containers(tmp_path: Path, image: str) -> Play:
    # The capability is for the engine's socket; containers get none of it.
    user = NOBODY if os.getuid() == 0 else os.getuid()
    return Play(tmp_path / "ml", [image], ["algo-1", "algo-2"], as_nobody("dac_override"), user=user)


EVERYWHERE = ["namespaces", "loopback", pytest.param("containers", marks=pytest.mark.docker)]


@pytest.fixture
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """By its fixture's name; nothing may be left of it afterwards."""
    play: Play = request.getfixturevalue(request.param)
    yield play
    assert not left_over(play)


def left_over(play: Play) -> list[str]:
    """Namespaces, docker's networks and containers."""
    found = os.listdir("/run/netns") if Path("/run/netns").exists() else []
    if shutil.which("docker"):
        for words in (["network", "ls", "--format", "{{.Name}}"], ["ps", "-a", "--format", "{{.Names}}"]):
            words = ["docker", *words, "--filter", f"label={backends.LABEL}"]
            found += subprocess.run(words, capture_output=True, text=True).stdout.split()
    return [name for name in found if set(name.split("-")) & set(map(str, play.pids))]


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


def processes_of(root: Path) -> list[int]:
    """The processes that have to do with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = path.joinpath("cmdline").read_bytes() + path.joinpath("environ").read_bytes()
            if str(root).encode() in said and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found


@pytest.mark.parametrize("play", EVERYWHERE, indirect=True)
def test_hosts_join_and_their_results_are_collected(play: Play) -> None:
    play.write(MEETS)
    result = play.run()
    assert result.returncode == 0, result.stdout + result.stderr
    first, second = play.names
    assert (play.root / "model/heard").read_text() == f"of {second}, user {play.user}"
    assert (play.root / "model/clash").read_text() == first
    assert f"warning: clash differs between {first}, whose is kept, and {second}" in result.stderr
    uploaded = play.root / "uploaded"
    assert names_in(uploaded / "model.tar.gz") == ["clash", "heard"]
    outputs = [f"from-{name}" for name in play.names]
    assert set(outputs) <= set(names_in(uploaded / "output.tar.gz"))
    assert sorted(path.name for path in (uploaded / "checkpoints").iterdir()) == outputs
    lines = result.stdout.splitlines()
    assert all(re.match(rf"({first}|{second}) \| |SageMaker would upload|the report is ", line) for line in lines)
    for name in play.names:
        own = [line for line in lines if line.startswith(name)]
        assert f"{name} | channel: a" in own
        assert [line for line in own if "line " in line] == [
            f"{name} | line {n} of {name} {'x' * 200}" for n in range(50)
        ]
    assert {path.stat().st_uid for path in play.root.rglob("*")} == {play.user}


@pytest.mark.parametrize("play", EVERYWHERE, indirect=True)
def test_failing_host_fails_the_script_with_one_reason(play: Play) -> None:
    play.write(HEAD + "write(model, 'half', '')\nif host == hosts[1]: sys.exit(5)\ntime.sleep(60)")
    (play.root / "output").mkdir()
    (play.root / "output/failure").write_text("of an older run")
    os.chown(play.root / "output", play.user, -1)
    result = play.run()
    assert result.returncode == 5
    said = f"{play.names[1]}: train.py ended with status 5"
    assert len(re.findall(rf"^\[\S+, \S+\] {re.escape(said)}$", result.stderr, re.MULTILINE)) == 1, result.stderr
    assert (play.root / "output/failure").read_text().startswith(said)
    assert not list((play.root / "uploaded").glob("model*")), "the model of a job that failed is not uploaded"
    assert not list((play.root / "model").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("play", EVERYWHERE, indirect=True)
def test_stop_signal_reaches_every_host_and_leaves_nothing(play: Play, number: signal.Signals) -> None:
    saves = "def save(*_):\n    time.sleep(0.5)\n    write(model, host, 'saved')\n    sys.exit(143)\n"
    play.write(WAITS.replace("write(check", f"{saves}signal.signal(signal.SIGTERM, save)\nwrite(check"))
    process = play.start()
    wait_until(play.started, "the script", 60)
    process.send_signal(number)
    result = finish(process, 30)
    assert result.returncode == 143, result.stdout + result.stderr
    assert sorted(path.name for path in (play.root / "model").iterdir()) == sorted(play.names)
    assert not processes_of(play.root)


IGNORES = (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nimport subprocess\nsubprocess.Popen(['sleep', '62'])\nwrite(check"
)


@pytest.mark.parametrize("play", EVERYWHERE, indirect=True)
def test_second_stop_signal_kills_the_hosts(play: Play) -> None:
    play.write(WAITS.replace("write(check", IGNORES))
    process = play.start()
    wait_until(play.started, "the script", 60)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finish(process, 30).returncode > 128
    assert not processes_of(play.root)


@pytest.mark.parametrize("play", EVERYWHERE, indirect=True)
def test_leftovers_of_a_killed_run_are_removed_by_the_next(play: Play) -> None:
    play.write(WAITS)
    process = play.start()
    wait_until(play.started, "the script", 60)
    running = processes_of(play.root)
    process.kill()
    finish(process)
    wait_until(lambda: not any(map(runs, running)), "the hosts, which end with who plays them")
    assert left_over(play) or play.names[0] == "127.0.0.1", "there is something to remove"
    (play.root / "code/train.py").write_text("print('done')")
    assert play.run().returncode == 0


@pytest.mark.parametrize("play", ["namespaces"], indirect=True)
def test_closed_log_reader_stops_the_job(play: Play) -> None:
    play.write("import time\nwhile True: print('x', flush=True); time.sleep(0.05)")
    process = play.start()
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    finish(process, 30)
    assert not processes_of(play.root)


@pytest.mark.parametrize("play", ["namespaces"], indirect=True)
def test_force_color_colours_the_logs(play: Play) -> None:
    play.write("print('hello')")
    assert "\x1b" not in play.run().stdout
    assert "\x1b[33malgo-2 |\x1b[0m hello\n" in play.run(FORCE_COLOR="1").stdout


@pytest.mark.parametrize("play", ["namespaces"], indirect=True)
def test_hosts_have_files_and_limits_of_the_platform(play: Play) -> None:
    play.write(
        HEAD
        + "print(socket.gethostname(), socket.gethostbyname(hosts[1]), os.path.exists('/sys/class/net/eth0'), model)\n"
        "try: write('/opt/ml/input/data/training', 'new', '')\nexcept OSError as error: print(error.strerror)\n"
    )
    result = play.run()
    assert "algo-2 | algo-2 10.79.0.3 True /opt/ml/model" in result.stdout
    assert result.stdout.count("Read-only file system") == 2
    assert play.run("--loopback").returncode == 0


@pytest.mark.parametrize("launcher", ["mpi", "tf_config"])
@pytest.mark.parametrize("play", ["loopback"], indirect=True)
def test_launchers_that_need_own_networks_are_refused_on_loopback(play: Play, launcher: str) -> None:
    play.write(HEAD, launcher=launcher)
    result = play.run()
    assert result.returncode == 1
    assert f"the launcher {launcher} needs hosts of their own, and not processes on loopback" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hosts", "2"], "either IMAGE or --local is needed"),
        (["--local", "--hosts", "0"], "--hosts is 0; it must be between 1 and 200"),
        (["--local", "--memory=1g"], "--memory=1g is an option of docker's, which --local does not use"),
    ],
)
def test_wrong_options_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    environ = {**os.environ, "TEST_DIR": str(tmp_path)}
    result = subprocess.run([SCRIPT, *options], env=environ, capture_output=True, text=True)
    assert result.returncode == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.docker
@pytest.mark.parametrize("play", ["containers"], indirect=True)
def test_limits_are_passed_to_docker(play: Play) -> None:
    play.write(
        "from pathlib import Path\n"
        "for path in ('memory.max', 'memory/memory.limit_in_bytes'):\n"
        "    path = Path('/sys/fs/cgroup', path)\n"
        "    if path.exists(): print('limit', path.read_text().strip())\n"
    )
    result = play.run("--memory", "200m", "--cpus", "0.5")
    assert result.stdout.count(f"limit {200 << 20}") == 2, result.stdout + result.stderr


@pytest.mark.docker
def test_missing_image_gives_the_message_of_docker(containers: Play) -> None:
    containers.write(HEAD)
    containers.options = ["localhost:1/no/such:image"]
    result = containers.run()
    assert result.returncode == 125
    assert "localhost:1" in result.stdout


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed")
@pytest.mark.parametrize("play", ["namespaces", "loopback"], indirect=True)
@pytest.mark.parametrize("fails", [False, True])
def test_torch_ddp(play: Play, fails: bool) -> None:
    script = (REPOSITORY / "examples/ddp/train.py").read_text()
    mark = "            optimizer.zero_grad()\n"
    fault = "            if step == 5 and rank == 3: raise ValueError('torn')\n"
    play.write(
        script.replace(mark, fault + mark) if fails else script,
        launcher="torchrun",
        processes_per_host="2",
        checkpoint=str(play.root / "checkpoints/last.pt") if "127" in play.names[0] else "/opt/ml/checkpoints/last.pt",
    )
    result = play.run()
    if fails:
        assert result.returncode == 1
        assert f"{play.names[1]}, rank 3: ValueError: torn" in result.stderr
        return
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(set(re.findall(r"rank \d of 4 ends with weights (\S+)", result.stdout))) == 1
    assert names_in(play.root / "uploaded/model.tar.gz") == ["model.pt"]
    assert (play.root / "uploaded/checkpoints/last.pt").is_file()


def test_folder_without_input_config_is_refused_and_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder input/config; TEST_DIR must name what is to become /opt/ml"):
        train_local.make_hosts(tmp_path, backends.Loopback(1, backends.free_ports()))
    assert not list(tmp_path.iterdir())


def test_path_of_the_report_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input/config").mkdir(parents=True)
    hosts = train_local.make_hosts(tmp_path, backends.Loopback(1, backends.free_ports()))
    report = hosts[0].root / train_local.REPORT
    report.parent.mkdir(parents=True, exist_ok=True)
    report.touch()
    train_local.collect_uploads(hosts, tmp_path, with_model=False)
    assert f"the report is {report}\n" in capsys.readouterr().out


def test_checkpoints_of_an_older_run_are_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job of another kind would be refused because of them."""
    backend = backends.Loopback(1, backends.free_ports())
    (tmp_path / "input/config").mkdir(parents=True)
    train_local.make_hosts(tmp_path, backend)
    assert "checkpoints" not in capsys.readouterr().out
    (tmp_path / "checkpoints/checkpoint-000001.npz").touch()
    train_local.make_hosts(tmp_path, backend)
    assert f"{tmp_path / 'checkpoints'} has checkpoints to go on from" in capsys.readouterr().out
