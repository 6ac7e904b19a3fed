"""The SM_* variables and the arguments of a user's training script.

They are exactly those of sagemaker-training-toolkit (V2 of SageMaker's SDK), and those that only V3's ModelTrainer
sets; docs/differences.md lists the intended differences.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from byo_container.container.accelerators import count_gpus, count_neurons
from byo_container.container.hyperparameters import PLATFORM_NAMES
from byo_container.container.instance_groups import distribution_groups, distribution_hosts
from byo_container.container.job import TrainingJob
from byo_container.container.log import level_number
from byo_container.container.script_path.byo_container_words import to_arguments, to_text

# The toolkit's own settings; other sagemaker_* hyperparameters are passed to the script as framework parameters.
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
__all__ = ["region_of", "sm_variables", "to_arguments", "to_text"]


def sm_variables(job: TrainingJob[dict[str, Any]], program: str, source: str) -> dict[str, str]:
    """All variables for `program` (such as `train.py`), whose code came from `source` (a folder or an address)."""
    facts = _facts(job, program, source)
    variables = {f"SM_{name.upper()}": to_text(value) for name, value in facts.items()}
    for name, channel in job.channels.items():
        variables[f"SM_CHANNEL_{name.upper()}"] = str(channel.path)
    for name, value in job.hyperparameters.items():
        variables[f"SM_HP_{name.upper()}"] = to_text(value)
    for name, value in job.hyperparameters.items():
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
    """Variables that only V3 of the SDK sets; the launcher adds SM_MASTER_ADDR and SM_MASTER_PORT."""
    return {
        "SM_INPUT_DATA_DIR": str(job.paths.data),
        "SM_OUTPUT_FAILURE": str(job.paths.failure),
        "SM_SOURCE_DIR": str(job.paths.code),
        "SM_ENTRY_SCRIPT": program,
        "SM_HOST_COUNT": str(len(job.hosts.all)),
        "SM_CURRENT_HOST_RANK": str(job.hosts.rank),
    }


def _facts(job: TrainingJob[Any], program: str, source: str) -> dict[str, Any]:
    """Values that are both variables of their own and keys of SM_TRAINING_ENV."""
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
    """The AWS region of a job, by its hyperparameter or else by the environment."""
    names = ("AWS_REGION", "AWS_DEFAULT_REGION")
    return job.platform.get("sagemaker_region") or next(filter(None, map(os.environ.get, names)), None)


def _training_env(job: TrainingJob[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    distributed = distribution_hosts(job)
    master = (distributed or job.hosts.all)[0]
    return {
        **facts,
        "additional_framework_parameters": _framework_parameters(job),
        "channel_input_dirs": {name: str(channel.path) for name, channel in job.channels.items()},
        "distribution_hosts": distributed,
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
