"""Open MPI, started on the first host, from where it logs in to the others:

    mpirun --host algo-1:2,algo-2:2 -np 4 … train.py

Each GPU or Neuron core gets a process, a host without any gets one, unless `processes_per_host` or
sagemaker_mpi_num_of_processes_per_host says otherwise. The options are those of sagemaker-training-toolkit, and TCP
keepalive, by which a host that has gone is noticed after eight seconds. Every other host runs an sshd. Only the first
host logs in, with a key that it generates for this job and that never leaves it: the hosts exchange only public keys.

A rank gets the variables of its own host. (The toolkit's ranks get all SM_* variables of the first host.)
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byo_container.container.env_reader import EnvReader
from byo_container.container.failure import JobError
from byo_container.container.instance_groups import team
from byo_container.container.job import TrainingJob
from byo_container.container.process.arguments import LONGEST_STRING
from byo_container.container.process.child import Command
from byo_container.training.launchers import HostContext, Launcher, Payloads, efa, single
from byo_container.training.launchers.options import PROCESSES_PER_HOST, process_count
from byo_container.training.processes.rank import PROGRAM_FILE, RANK_COMMAND, Ranks

SSHD = "/usr/sbin/sshd"
KEEPALIVE = {"oob_tcp_keepalive_time": "5", "oob_tcp_keepalive_intvl": "2", "oob_tcp_keepalive_probes": "3"}
OPTIONS = {
    "plm_rsh_no_tree_spawn": "1",
    "pml": "ob1",
    "btl": "^openib",
    "orte_abort_on_non_zero_status": "1",
    "btl_vader_single_copy_mechanism": "none",
}
SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def launch(job: TrainingJob[Any], program: Command, context: HostContext) -> list[Command]:
    """mpirun on the first host, sshd on the others. A host outside the distribution's instance groups runs the program
    alone."""
    hosts = team(job)
    if job.hosts.current not in hosts:
        return single.launch(job, program, context)
    if job.hosts.current != hosts[0]:
        return [sshd(context)]
    env = _environment(job, program, context)
    words = [*RANK_COMMAND, *(under_mpi4py(program.argv) if context.has_mpi4py else program.argv)]
    _check_length(words, job)
    argv = [*mpirun(job, context), *words]
    return [
        dataclasses.replace(
            program, argv=argv, name=f"mpirun {program.name}", env=env, capture=True, spared_on_stop=True
        )
    ]


def _check_length(words: Sequence[str], job: TrainingJob[Any]) -> None:
    """Raises JobError where the arguments are too long: Open MPI passes all of them in one variable, OMPI_ARGV."""
    length = len("OMPI_ARGV=") + sum(len(os.fsencode(word)) + 1 for word in words)
    if length > LONGEST_STRING:
        raise JobError(
            f"{job.paths.hyperparameters}: the hyperparameters are too long for the launcher mpi, which passes them on "
            f"in one variable: it would have {length} bytes, and no variable may have more than {LONGEST_STRING}"
        )


def under_mpi4py(argv: Sequence[str]) -> list[str]:
    """A Python program run by mpi4py, as the toolkit does. Without it a rank that raises waits in MPI_Finalize, for
    ever, for the other ranks."""
    if argv[0] != sys.executable:
        return list(argv)
    flags = list(itertools.takewhile(lambda word: word.startswith("-") and word != "-m", argv[1:]))
    return [argv[0], *flags, "-m", "mpi4py", *argv[1 + len(flags) :]]


def mpirun(job: TrainingJob[Any], context: HostContext) -> list[str]:
    """mpirun and its options, without the program."""
    hosts = team(job)
    per_host = process_count(job, PROCESSES_PER_HOST, context.accelerators or 1)
    total = process_count(job, ("sagemaker_mpi_num_processes",), per_host * len(hosts))
    options = dict(OPTIONS)
    if len(hosts) > 1:
        options |= {**KEEPALIVE, "plm_rsh_agent": "ssh", "plm_rsh_args": shlex.join(ssh_options(context))}
        if context.interface:
            options |= {"btl_tcp_if_include": context.interface, "oob_tcp_if_include": context.interface}
    # A single host may have a name that does not resolve, and mpirun would try to log in to it.
    names = hosts if len(hosts) > 1 else ["localhost"]
    words = ["mpirun", "--host", ",".join(f"{host}:{per_host}" for host in names), "-np", str(total)]
    words += ["--allow-run-as-root", "--tag-output", "-bind-to", "none", "-map-by", "slot"]
    for name, value in options.items():
        words += ["-mca", name, value]
    return words + custom_options(job)[0]


def custom_options(job: TrainingJob[Any]) -> tuple[list[str], dict[str, str]]:
    """The user's options for mpirun, and the environment variables among them: like the toolkit, we take --NCCL_DEBUG
    as a variable. Raises JobError."""
    name = "sagemaker_mpi_custom_mpi_options"
    text = job.platform.get(name) or ""
    try:
        words = shlex.split(str(text))
    except ValueError as error:
        raise JobError(
            f"{job.paths.hyperparameters}: {name} is {text!r}, which no shell could split: {error}"
        ) from None
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    ours.add_argument("--NCCL_DEBUG", default="")
    try:
        known, others = ours.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise JobError(f"{job.paths.hyperparameters}: {name} is {text!r}: {error}") from None
    return others, {"NCCL_DEBUG": known.NCCL_DEBUG} if known.NCCL_DEBUG else {}


def ssh_port(otherwise: int, environ: Mapping[str, str] = os.environ) -> int:
    """Where sshd listens: SSH_PORT, or else the job's port `otherwise`, so that jobs that share a network do not
    collide."""
    return EnvReader(environ).whole_number("SSH_PORT", otherwise, low=1, high=65_535)


def sshd(context: HostContext) -> Command:
    """The sshd command, which lets only the first host log in."""
    scratch = context.scratch
    options = {
        "Port": context.ports.ssh,
        "HostKey": scratch / "host_key",
        "AuthorizedKeysFile": scratch / "authorized_keys",
        "ForceCommand": f'. {scratch / "session"}; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"',
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "StrictModes": "no",  # it would reject the modes of /tmp
        "UsePAM": "no",
        "PidFile": "none",
        "LogLevel": "ERROR",
        "MaxStartups": 1000,
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return Command(
        [SSHD, "-D", "-e", "-f", "/dev/null", *words], "sshd", capture=True, service=True, needed_by="the other hosts"
    )


def ssh_options(context: HostContext) -> list[str]:
    """The options by which mpirun calls ssh."""
    options = {
        "IdentityFile": context.scratch / "client_key",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": context.scratch / "known_hosts",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 30,
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["-F", "/dev/null", "-p", str(context.ports.ssh), *words]


def prepare(job: TrainingJob[Any], context: HostContext) -> list[Command]:
    """The command that generates this host's key. Raises JobError where Open MPI or sshd is not installed."""
    hosts, current = team(job), job.hosts.current
    needed = {"mpirun": "openmpi-bin"} if current == hosts[0] else {"orted": "openmpi-bin", SSHD: "openssh-server"}
    if len(hosts) > 1:
        needed |= {"ssh-keygen": "openssh-client", **({"ssh": "openssh-client"} if current == hosts[0] else {})}
    missing = [(name, package) for name, package in needed.items() if not shutil.which(name)]
    if current in hosts and missing:
        name, package = missing[0]
        raise JobError(f"the launcher mpi needs {name}, which is not installed here (Debian's package {package})")
    if len(hosts) == 1 or current not in hosts:
        return []
    if current != hosts[0] and os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd does not start without it
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(_key(context, current == hosts[0]))]
    return [Command(words, "ssh-keygen", capture=True)]


def _key(context: HostContext, is_first: bool) -> Path:
    return context.scratch / ("client_key" if is_first else "host_key")


def payload(context: HostContext) -> dict[str, Any]:
    """The public keys of this host."""
    keys = {key: context.scratch / f"{key}.pub" for key in ("client_key", "host_key")}
    return {key: path.read_text(encoding="utf-8").strip() for key, path in keys.items() if path.exists()}


def receive(job: TrainingJob[Any], program: Command, context: HostContext, payloads: Payloads) -> None:
    """Writes the files for ssh and sshd: which hosts and keys to trust, and the variables of this host's ranks."""
    hosts = team(job)
    known = [f"[{host}]:{context.ports.ssh},{host} {payloads[host].get('host_key', '')}\n" for host in hosts[1:]]
    (context.scratch / "known_hosts").write_text("".join(known), encoding="utf-8")
    client_key = payloads[hosts[0]].get("client_key", "") if hosts else ""
    (context.scratch / "authorized_keys").write_text(f"{client_key}\n", encoding="utf-8")
    if job.hosts.current in hosts[1:]:
        env = {**os.environ, **_environment(job, program, context)}
        (context.scratch / "session").write_text(session(env), encoding="utf-8")
        own = [dict(program.env), str(program.cwd) if program.cwd else None]
        (context.scratch / PROGRAM_FILE).write_text(json.dumps(own), encoding="utf-8")


def session(env: Mapping[str, str]) -> str:
    """A shell script that exports these variables. Those whose names a shell cannot export reach the rank by the file
    PROGRAM_FILE."""
    names = sorted(name for name in env if SHELL_NAME.fullmatch(name))
    return "".join(f"export {name}={shlex.quote(env[name])}\n" for name in names)


def _environment(job: TrainingJob[Any], program: Command, context: HostContext) -> dict[str, str]:
    variables = {
        **single.network_variables(job, context),
        **efa.variables(job),
        **Ranks(context.scratch).variables(program.name),
    }
    return {**variables, **custom_options(job)[1], **program.env}


LAUNCHER = Launcher("mpi", launch, prepare=prepare, payload=payload, receive=receive)
