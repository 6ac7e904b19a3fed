"""The SM_* variables and the arguments that a user's training script expects.

They are those of sagemaker-training-toolkit (V2 of SageMaker's SDK) to the letter, and those that only V3's
ModelTrainer sets; docs/differences.md lists what differs on purpose.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from byo_container.container.hyperparameters import PLATFORM_NAMES
from byo_container.container.instance_groups import distribution_groups, distribution_hosts
from byo_container.container.job import TrainingJob
from byo_container.container.log import level_number, log
from byo_container.container.script_path.byo_container_words import to_arguments, to_text

# These are the toolkit's own settings; the other sagemaker_* go to the script as framework parameters.
_TOOLKIT_SETTINGS = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_region",
        "sagemaker_s3_output",
        "sagemaker_enable_cloudwatch_metrics",
        *PLATFORM_NAMES,
    }
)
__all__ = ["count_accelerators", "count_gpus", "region_of", "sm_variables", "to_arguments", "to_text"]
LISTING_S = 60.0  # a driver that hangs would hold the job for ever


def sm_variables(job: TrainingJob[dict[str, Any]], program: str, source: str) -> dict[str, str]:
    """All variables for `program` (`train.py`), whose code came from `source` (a folder or an address)."""
    facts = _facts(job, program, source)
    variables = {f"SM_{name.upper()}": to_text(value) for name, value in facts.items()}
    for name, channel in job.channels.items():
        variables[f"SM_CHANNEL_{name.upper()}"] = str(channel.path)
    for name, value in job.hyperparameters.items():
        variables[f"SM_HP_{name.upper()}"] = to_text(value)
    for name, value in job.hyperparameters.items():  # V3's names, which a shell can read, where they are free
        variables.setdefault(f"SM_HP_{name.upper().replace('-', '_')}", to_text(value))
    variables |= {
        "SM_HPS": to_text(job.hyperparameters),
        "SM_CHANNELS": to_text(sorted(job.channels)),
        "SM_USER_ARGS": to_text(to_arguments(job.hyperparameters)),
        "SM_FRAMEWORK_PARAMS": to_text(_framework_parameters(job)),
        "SM_TRAINING_ENV": to_text(_training_env(job, facts)),
        "CURRENT_HOST": job.hosts.current,
        "SAGEMAKER_JOB_NAME": to_text(job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME")),
        "SAGEMAKER_REGION": to_text(region_of(job)),
    }
    if job.raw["resourceconfig"].get("topology"):
        variables["SM_TOPOLOGY"] = to_text(job.raw["resourceconfig"]["topology"])
    return variables | _of_v3(job, program)


def _of_v3(job: TrainingJob[Any], program: str) -> dict[str, str]:
    """What only V3 of the SDK sets. SM_MASTER_ADDR and SM_MASTER_PORT come from the launcher, which knows them."""
    return {
        "SM_INPUT_DATA_DIR": str(job.paths.data),
        "SM_OUTPUT_FAILURE": str(job.paths.failure),
        "SM_SOURCE_DIR": str(job.paths.code),
        "SM_ENTRY_SCRIPT": program,
        "SM_HOST_COUNT": str(len(job.hosts.all)),
        "SM_CURRENT_HOST_RANK": str(job.hosts.rank),
    }


def _facts(job: TrainingJob[Any], program: str, source: str) -> dict[str, Any]:
    """What stands both in variables of its own and in SM_TRAINING_ENV."""
    by_name = {str(group.get("instance_group_name")): dict(group) for group in job.hosts.groups}
    own_group = by_name.get(job.hosts.group, {})
    return {
        "model_dir": str(job.paths.model),
        "input_dir": str(job.paths.input),
        "input_config_dir": str(job.paths.config),
        "output_dir": str(job.paths.output),
        "output_data_dir": str(job.paths.output_data),
        "output_intermediate_dir": str(job.paths.output_intermediate),
        "hosts": list(job.hosts.all),
        "current_host": job.hosts.current,
        "network_interface_name": job.hosts.network_interface,
        "current_instance_type": job.hosts.instance_type,
        "current_instance_group": job.hosts.group,
        "current_instance_group_hosts": own_group.get("hosts", []),
        "instance_groups": list(by_name),
        "instance_groups_dict": by_name,
        "distribution_instance_groups": distribution_groups(job),
        "is_hetero": len(by_name) > 1,
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": count_gpus(),
        "num_neurons": count_neurons(job.hosts.instance_type),
        "user_entry_point": program,
        "module_name": program.removesuffix(".py"),
        "module_dir": source,
        "framework_module": os.environ.get("SAGEMAKER_TRAINING_MODULE"),
        "log_level": level_number(job.platform.get("sagemaker_container_log_level", "")),
        "resource_config": job.raw["resourceconfig"],
        "input_data_config": job.raw["inputdataconfig"],
    }


def _framework_parameters(job: TrainingJob[Any]) -> dict[str, Any]:
    return {name: value for name, value in job.platform.items() if name not in _TOOLKIT_SETTINGS}


def region_of(job: TrainingJob[Any]) -> str | None:
    """The AWS region that a job names, by hyperparameter or environment."""
    names = ("AWS_REGION", "AWS_DEFAULT_REGION")
    return job.platform.get("sagemaker_region") or next(filter(None, map(os.environ.get, names)), None)


def _training_env(job: TrainingJob[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    together = distribution_hosts(job)
    master = (together or job.hosts.all)[0]
    return {
        **facts,
        "additional_framework_parameters": _framework_parameters(job),
        "channel_input_dirs": {name: str(channel.path) for name, channel in job.channels.items()},
        "distribution_hosts": together,
        "hyperparameters": dict(job.hyperparameters),
        "input_data_dir": str(job.paths.data),
        "is_master": job.hosts.current == master,
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": os.environ.get("TRAINING_JOB_NAME") or job.platform.get("sagemaker_job_name"),
        "master_hostname": master,
        "topology": job.raw["resourceconfig"].get("topology", []),
    }


def count_accelerators(instance_type: str) -> int:
    """How many processes a launcher starts on this host, one for each: GPUs, or else Neuron cores."""
    return count_gpus() or count_neurons(instance_type)


def count_gpus() -> int:
    """The NVIDIA GPUs that this container may use: the lines of `nvidia-smi --list-gpus`, 0 without it."""
    return sum(line.startswith("GPU ") for line in _listing("nvidia-smi", "--list-gpus").splitlines())


def count_neurons(instance_type: str) -> int:
    """The Neuron cores of this container, as `neuron-ls -j` lists them, 0 without it."""
    if "trn2.48xlarge" in instance_type:
        return 64
    try:
        return sum(int(device.get("nc_count", 0)) for device in json.loads(_listing("neuron-ls", "-j") or "[]"))
    except (ValueError, TypeError, AttributeError):
        return 0


def _listing(*command: str) -> str:
    """What a command says of devices; nothing where it is not installed, or does not answer."""
    found = shutil.which(command[0])
    return _output(found, *command[1:]) if found else ""


@functools.cache
def _output(*words: str) -> str:
    """Asked once: the devices stay what they are, and a driver may take seconds to answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=LISTING_S).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s does not answer, so its devices are not used: %s", os.path.basename(words[0]), error)
        return ""
