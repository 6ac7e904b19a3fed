"""The SM_* variables and the arguments that a user's training script expects.

They are those of sagemaker-training-toolkit to the letter; docs/differences.md lists what differs on purpose.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from container.job import TrainingJob
from container.log import level_number

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
        "_tuning_objective_metric",
    }
)


def to_text(value: Any) -> str:
    """A value in an environment variable: text as it is, nothing for None, else compact sorted JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def to_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Hyperparameters as a command line: sorted, always two words, `--key value` or `-k value`."""
    words = []
    for key, value in sorted(hyperparameters.items()):
        words += [f"--{key}" if len(key) > 1 else f"-{key}", _argument(value)]
    return words


def _argument(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in sorted(value.items()))
    return str(value)


def sm_variables(job: TrainingJob[dict[str, Any]], program: str, source: str) -> dict[str, str]:
    """All variables for `program` (`train.py`), whose code came from `source` (a folder or an address)."""
    facts = _facts(job, program, source)
    variables = {f"SM_{name.upper()}": to_text(value) for name, value in facts.items()}
    for name, channel in job.channels.items():
        variables[f"SM_CHANNEL_{name.upper()}"] = str(channel.path)
    for name, value in job.hyperparameters.items():
        variables[f"SM_HP_{name.upper()}"] = to_text(value)
    variables |= {
        "SM_HPS": to_text(job.hyperparameters),
        "SM_CHANNELS": to_text(sorted(job.channels)),
        "SM_USER_ARGS": to_text(to_arguments(job.hyperparameters)),
        "SM_FRAMEWORK_PARAMS": to_text(_framework_parameters(job)),
        "SM_TRAINING_ENV": to_text(_training_env(job, facts)),
        "CURRENT_HOST": job.hosts.current,
        "SAGEMAKER_JOB_NAME": to_text(_job_name(job)),
        "SAGEMAKER_REGION": to_text(job.platform.get("sagemaker_region") or os.environ.get("AWS_REGION")),
    }
    if "topology" in job.raw["resourceconfig"]:
        variables["SM_TOPOLOGY"] = to_text(job.raw["resourceconfig"]["topology"])
    return variables


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
        "distribution_instance_groups": job.platform.get("sagemaker_distribution_instance_groups", []),
        "is_hetero": len(by_name) > 1,
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": count_gpus(),
        "num_neurons": 0,
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


def _job_name(job: TrainingJob[Any]) -> str | None:
    return job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME")


def _training_env(job: TrainingJob[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "additional_framework_parameters": _framework_parameters(job),
        "channel_input_dirs": {name: str(channel.path) for name, channel in job.channels.items()},
        "distribution_hosts": list(job.hosts.all),
        "hyperparameters": dict(job.hyperparameters),
        "is_master": job.hosts.is_master,
        "job_name": _job_name(job),
        "master_hostname": job.hosts.master,
    }


def count_gpus() -> int:
    """The NVIDIA GPUs that this container may use: the lines of `nvidia-smi --list-gpus`, 0 without it."""
    nvidia_smi = shutil.which("nvidia-smi")
    if not nvidia_smi:
        return 0
    command = [nvidia_smi, "--list-gpus"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    return _gpu_lines(listing.stdout.splitlines())


def _gpu_lines(lines: Sequence[str]) -> int:
    return sum(line.startswith("GPU ") for line in lines)
