"""Runs a training job on this machine as the platform would; train_local.sh describes the command line."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.launchers.choose import choose
from local_test import namespaces, upload
from local_test.backends import Containers, Loopback, Namespaces, free_ports, own_id
from local_test.hosts import CHECKPOINTS, FAILURE, MODEL, Backend, Host, Template, describe_hosts, make_root
from local_test.running import STOP_SIGNALS, RunningHost, run
from local_test.screen import Screen, print_message, wants_colour

REPORT = "output/data/report.html"


def main(arguments: Sequence[str]) -> int:
    """Runs one job and returns its status: 0 when all hosts have succeeded, else that of the first that failed."""
    options = parse(arguments)
    root = Path(os.environ["TEST_DIR"]).resolve()
    status = 0
    try:
        with Supervisor(STOP_SIGNALS) as supervisor:
            backend = choose_backend(options, root)
            hosts = make_hosts(root, backend)
            screen = Screen([host.name for host in hosts], sys.stdout.buffer, wants_colour(sys.stdout.buffer))
            with backend.up():
                running = run(hosts, backend.terminate, supervisor, screen if len(hosts) > 1 else None)
        status = next((each.status for each in running if each.status), 0)
        if status:
            print_failures(running, root)
        collect_uploads(hosts, root, with_model=status == 0 or supervisor.stop_requested)
    except (JobError, OSError, RuntimeError, ValueError) as error:
        print_message(str(error))
        return status or 1
    except KeyboardInterrupt:
        return status or 128 + signal.SIGINT
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_local.sh", allow_abbrev=False)
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="what to run in containers")
    parser.add_argument("--local", action="store_true", help="processes instead of containers")
    parser.add_argument("--hosts", type=int, default=1, metavar="N", help="how many hosts to play (1)")
    parser.add_argument("--loopback", action="store_true", help="with --local: no network namespaces, also as root")
    options, for_docker = parser.parse_known_args(arguments)
    if bool(options.image) == options.local:
        parser.error("either IMAGE or --local is needed")
    if options.local and for_docker:
        parser.error(f"{for_docker[0]} is an option of docker's, which --local does not use")
    if not 1 <= options.hosts <= 200:
        parser.error(f"--hosts is {options.hosts}; it must be between 1 and 200")
    options.for_docker = for_docker
    return options


def choose_backend(options: argparse.Namespace, root: Path) -> Backend:
    """How the hosts are made. Raises RuntimeError where the job cannot run like that."""
    needed = "docker" if options.image else "train"
    if not shutil.which(needed):
        raise RuntimeError(f"{needed} is not on the PATH{'' if options.image else '; `make setup` installs it'}")
    if options.image:
        return Containers(options.hosts, options.image, options.for_docker, os.environ, own_id())
    if options.hosts > 1 and not options.loopback:
        reason = namespaces.why_not()
        if reason is None:
            return Namespaces(namespaces.plan(options.hosts))
        print_message(f"the hosts are processes on loopback: {reason}")
    if options.hosts > 1:
        refuse_shared_network(root)
    return Loopback(options.hosts, free_ports())


def refuse_shared_network(root: Path) -> None:
    """Raises RuntimeError for launchers whose hosts cannot be processes of one machine."""
    try:
        launcher = choose(TrainingJob.read(Paths(root))).name
    except JobError:
        return  # `train` reports it with more detail
    reason = {
        "tf_config": "TensorFlow's servers of all hosts listen on the same port of all addresses",
        "mpi": "Open MPI's ranks of all hosts would write to the same shared memory",
    }.get(launcher)
    if reason:
        raise RuntimeError(
            f"the launcher {launcher} needs hosts of their own, and not processes on loopback: {reason}. "
            "Run this as root, which makes network namespaces, or with an IMAGE, in containers"
        )


def make_hosts(root: Path, backend: Backend) -> list[Host]:
    """Moves an older run's results aside, and makes the hosts' folders. Raises OSError, ValueError."""
    if not (root / "input/config").is_dir():
        raise ValueError(f"{root} has no folder input/config; TEST_DIR must name what is to become /opt/ml")
    if not upload.is_empty(root / MODEL):
        upload.remove(root / "model.old")
        (root / MODEL).rename(root / "model.old")
        print(f"the older model is kept in {root / 'model.old'}", flush=True)
    if not upload.is_empty(root / CHECKPOINTS):
        print(f"{root / CHECKPOINTS} has checkpoints to go on from; without that folder it begins anew", flush=True)
    upload.remove(root / "hosts")
    (root / FAILURE).unlink(missing_ok=True)
    for folder in (MODEL, FAILURE.parent, CHECKPOINTS):
        (root / folder).mkdir(exist_ok=True)
    several = len(backend.names()) > 1
    template = Template.read(root) if several else Template(root, {})
    hosts = describe_hosts(template, backend)
    for host in hosts:
        make_root(host, template, by_links=backend.by_links)
    return hosts


def print_failures(running: Sequence[RunningHost], root: Path) -> None:
    """Prints how hosts failed and why, the same reason of several hosts once. The first reason is written to TEST_DIR's
    failure file."""
    reasons: dict[str, list[str]] = {}
    for each in running:
        if each.status:
            path = each.host.root / FAILURE
            text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
            reasons.setdefault(text, []).append(each.host.name)
    if len(running) == 1:
        print_message(f"train ended with status {running[0].status}:")
    else:
        statuses = ", ".join(f"{each.status} on {each.host.name}" for each in running)
        print_message(f"train ended with status {statuses}:")
        first = next((text for text in reasons if text), "")
        (root / FAILURE).write_text(f"{first}\n" if first else "", encoding="utf-8")
    for text, names in reasons.items():
        where = f"[{', '.join(names)}] " if len(running) > 1 else ""
        print(f"{where}{text or '(and left no failure file)'}", file=sys.stderr, flush=True)


def collect_uploads(hosts: Sequence[Host], root: Path, *, with_model: bool) -> None:
    """Collects the files that SageMaker would upload; of a failed job without the model."""
    clashes: list[str] = []
    model = root / MODEL
    roots = {host.name: host.root for host in hosts}
    if with_model and len(hosts) > 1:
        clashes += upload.merge({name: folder / MODEL for name, folder in roots.items()}, model)
    with tempfile.TemporaryDirectory(prefix="upload-", dir=root) as scratch:
        target = root / "uploaded"
        kept = model if with_model and not upload.is_empty(model) else None
        clashes += upload.upload(target, kept, roots, root / CHECKPOINTS, Path(scratch))
    for clash in clashes:
        print_message(f"warning: {clash}")
    if not upload.is_empty(target):
        print(f"SageMaker would upload, see {target}: {upload.sizes(target)}", flush=True)
    for folder in roots.values():
        if (folder / REPORT).is_file():
            print(f"the report is {folder / REPORT}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
