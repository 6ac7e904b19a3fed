"""A training job: read from the platform's files, checked once, and immutable.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from byo_container.container import hyperparameters as hp
from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.container.files.json_object import read_object
from byo_container.container.log import set_level
from byo_container.container.paths import Paths
from byo_container.container.suggest import closest

H = TypeVar("H")
D = TypeVar("D")

CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")
HANDLER_HYPERPARAMETER = "model_handler"
LEAST_RESOURCES = '{"current_host": "algo-1", "hosts": ["algo-1"]}'
LAUNCHER_HYPERPARAMETERS = ("launcher", "processes_per_host")


@dataclass(frozen=True)
class Hosts:
    """The hosts of the job, from resourceconfig.json."""

    current: str
    all: tuple[str, ...]
    network_interface: str = "eth0"
    instance_type: str = "local"
    group: str = "homogeneousCluster"
    groups: tuple[Mapping[str, Any], ...] = ()

    @property
    def rank(self) -> int:
        return self.all.index(self.current)

    @property
    def first(self) -> str:
        """The host that coordinates the others."""
        return self.all[0]

    @property
    def is_master(self) -> bool:
        """Whether this is the first host, in the word of SageMaker's toolkit."""
        return self.current == self.first


@dataclass(frozen=True)
class TrainingJob(Generic[H]):
    """A training job as the platform describes it. `hyperparameters` are of the type H that the handler declares.

    `texts` are the same hyperparameters as the platform wrote them, without its own ones, which are in `platform`;
    `raw` has the parsed config files unchanged, for the SM_* variables.
    """

    paths: Paths
    hyperparameters: H
    channels: Mapping[str, Channel]
    hosts: Hosts
    texts: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)
    handler_name: str | None = None
    launcher: Mapping[str, Any] = field(default_factory=dict)
    """Our own hyperparameters `launcher` and `processes_per_host`, if they are set."""
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Paths) -> TrainingJob[dict[str, Any]]:
        """Reads the job below `paths.root`. Its hyperparameters are decoded, but not yet of a handler's type.

        Raises JobError that names file, key and value.
        """
        texts = read_hyperparameters(paths.hyperparameters)
        resources = read_object(paths.resource_config, LEAST_RESOURCES)
        inputs = read_object(paths.input_data_config)
        own = {name: text for name, text in texts.items() if not hp.is_platforms(name)}
        handler_name = own.pop(HANDLER_HYPERPARAMETER, None)
        launcher = {name: hp.decode(own.pop(name)) for name in LAUNCHER_HYPERPARAMETERS if name in own}
        return TrainingJob(
            paths=paths,
            hyperparameters={name: hp.decode(text) for name, text in own.items()},
            channels={name: _channel(name, spec, paths) for name, spec in sorted(inputs.items())},
            hosts=_hosts(resources, paths.resource_config),
            texts=own,
            platform={name: hp.decode(text) for name, text in texts.items() if hp.is_platforms(name)},
            handler_name=str(hp.decode(handler_name)) if handler_name else None,
            launcher=launcher,
            raw={"resourceconfig": resources, "inputdataconfig": inputs},
        )

    def declare(self, declared: type[D]) -> TrainingJob[D]:
        """The same job with hyperparameters of the dataclass that a handler declares. Raises JobError."""
        typed = hp.parse(declared, self.texts, self.paths.hyperparameters)
        return cast("TrainingJob[D]", dataclasses.replace(cast(Any, self), hyperparameters=typed))

    def channel(self, name: str) -> Channel:
        """The channel called `name`. Raises JobError that lists the existing channels."""
        if name not in self.channels:
            match = closest(name, self.channels)
            meant = f" (is {match!r} meant to be it?)" if match else ""
            raise JobError(
                f"this job needs a channel called {name!r}, and {self.paths.input_data_config} names "
                f"{', '.join(sorted(self.channels)) or 'none'}{meant}"
            )
        return self.channels[name]

    @property
    def model_dir(self) -> Path:
        return self.paths.model

    @property
    def output_data_dir(self) -> Path:
        return self.paths.output_data

    @property
    def checkpoint_dir(self) -> Path:
        return self.paths.checkpoints

    @property
    def tensorboard_dir(self) -> Path:
        return self.paths.tensorboard


def read_job(paths: Paths) -> TrainingJob[dict[str, Any]]:
    """Reads the job, and sets its log level."""
    job = TrainingJob.read(paths)
    if "sagemaker_container_log_level" in job.platform:
        set_level(job.platform["sagemaker_container_log_level"])
    return job


def read_hyperparameters(path: Path) -> dict[str, str]:
    """The hyperparameters as texts. The platform writes every value as a text; a file that was written by hand may have
    plain numbers, which are read as if they were quoted."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in read_object(path).items()}


def _channel(name: str, spec: Any, paths: Paths) -> Channel:
    source = paths.input_data_config
    if not CHANNEL_NAME.fullmatch(name) or name in (".", ".."):
        raise JobError(f"{source}: {name!r} is no channel name; right are 1 to 64 of A-Z a-z 0-9 . - _")
    if not isinstance(spec, dict):
        raise JobError(f'{source}: {name} should be an object such as {{"TrainingInputMode": "File"}}')
    channel = Channel(
        name=name,
        path=paths.data / name,
        mode=_choice(source, name, spec, "TrainingInputMode", ("File", "FastFile", "Pipe")),
        content_type=spec.get("ContentType"),
        record_wrapper=_choice(source, name, spec, "RecordWrapperType", ("None", "RecordIO")),
    )
    if channel.mode != "Pipe" and not channel.path.is_dir():
        raise JobError(f"channel {name!r}: {source} names it, but the folder {channel.path} is not there")
    return channel


def _choice(source: Path, channel: str, spec: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> Any:
    value = spec.get(key, choices[0])
    if value not in choices:
        raise JobError(f"{source}: {channel}.{key} is {value!r}; it must be one of {', '.join(choices)}")
    return value


def _hosts(config: Mapping[str, Any], source: Path) -> Hosts:
    names, current = config.get("hosts"), config.get("current_host")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise JobError(f"{source}: hosts is {names!r}; it must be a list of host names; the least is {LEAST_RESOURCES}")
    if current not in names:
        raise JobError(f"{source}: current_host is {current!r}; it must be one of hosts, {', '.join(names)}")
    groups = config.get("instance_groups") or ()
    if not isinstance(groups, list | tuple) or not all(isinstance(group, dict) for group in groups):
        raise JobError(f"{source}: instance_groups is {groups!r}; it must be a list of objects")
    return Hosts(
        current=str(current),
        all=tuple(names),
        network_interface=config.get("network_interface_name") or "eth0",
        instance_type=config.get("current_instance_type") or "local",
        group=config.get("current_group_name") or "homogeneousCluster",
        groups=tuple(groups),
    )
