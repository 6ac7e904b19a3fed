"""The part of sagemaker_training and sagemaker_containers that scripts use to read their job.

The values come from the variables and files of the script (SM_TRAINING_ENV, /opt/ml/input/config), so that each rank on
each host reads its own. Source of names and values:
https://github.com/aws/sagemaker-training-toolkit/tree/master/src/sagemaker_training
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Iterator, Mapping
from typing import Any

from byo_container_finder import Content
from byo_container_words import CONTENT_TYPES, to_arguments, to_text

# The platform's own hyperparameters; each is also the name of a variable, in capitals.
PLATFORM = {
    "USER_PROGRAM": "sagemaker_program",
    "S3_OUTPUT_LOCATION": "sagemaker_s3_output",
    "SUBMIT_DIR": "sagemaker_submit_directory",
    "ENABLE_METRICS": "sagemaker_enable_cloudwatch_metrics",
    "LOG_LEVEL": "sagemaker_container_log_level",
    "JOB_NAME": "sagemaker_job_name",
    "REGION_NAME": "sagemaker_region",
}
PARAMS = {
    **{f"{name}_PARAM": value for name, value in PLATFORM.items()},
    **{f"{name}_ENV": value.upper() for name, value in PLATFORM.items()},
    "SAGEMAKER_PREFIX": "sagemaker_",
    "CURRENT_HOST_ENV": "CURRENT_HOST",
    "S3_ENDPOINT_URL": "S3_ENDPOINT_URL",
    "TRAINING_JOB_ENV": "TRAINING_JOB_NAME",
    "TUNING_METRIC_PARAM": "_tuning_objective_metric",
    "DEFAULT_MODULE_NAME_PARAM": "default_user_module_name",
    "FRAMEWORK_TRAINING_MODULE_ENV": "SAGEMAKER_TRAINING_MODULE",
    "MPI_ENABLED": "sagemaker_mpi_enabled",
    "PARAMETER_SERVER_ENABLED": "sagemaker_parameter_server_enabled",
    "MULTI_WORKER_MIRRORED_STRATEGY_ENABLED": "sagemaker_multi_worker_mirrored_strategy_enabled",
    "PYTORCH_XLA_MULTI_WORKER_ENABLED": "sagemaker_pytorch_xla_multi_worker_enabled",
    "MPI_PROCESSES_PER_HOST": "sagemaker_mpi_num_of_processes_per_host",
    "MPI_NUM_PROCESSES": "sagemaker_mpi_num_processes",
    "MPI_CUSTOM_OPTIONS": "sagemaker_mpi_custom_mpi_options",
    "SAGEMAKER_NETWORK_INTERFACE_NAME": "sagemaker_network_interface_name",
    "SMDATAPARALLEL_CUSTOM_MPI_OPTIONS": "sagemaker_distributed_dataparallel_custom_mpi_options",
    "SM_HP_MP_PARAMETERS": "SM_HP_MP_PARAMETERS",
    "DISTRIBUTION_INSTANCE_GROUPS": "sagemaker_distribution_instance_groups",
    "SAGEMAKER_HYPERPARAMETERS": (*PLATFORM.values(), "default_user_module_name", "_tuning_objective_metric"),
}
SplitResultSpec = namedtuple("SplitResultSpec", "included excluded")


def base_dir() -> str:
    return os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"


def below(*names: str) -> str:
    return os.path.join(base_dir(), *names)


class Environment(Mapping[str, Any]):
    """The job on this host: `env.hosts`, `env["hosts"]`, `dict(env)`. Raises RuntimeError outside of a job."""

    def __init__(self, resource_config: Any = None, input_data_config: Any = None, hyperparameters: Any = None) -> None:
        if resource_config or input_data_config or hyperparameters:
            raise NotImplementedError(
                "byo-container's stand-in for Environment describes the job itself; leave out its arguments"
            )
        text = os.environ.get("SM_TRAINING_ENV")
        if not text:
            raise RuntimeError("the variable SM_TRAINING_ENV is not set, which `train` gives to training scripts")
        self._values: dict[str, Any] = json.loads(text)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        if name.startswith("get_") and name[4:] in values:
            return lambda: values[name[4:]]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; it has {', '.join(sorted(values))}")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __str__(self) -> str:
        return str(self._values)

    def properties(self) -> list[str]:
        return sorted(self._values)

    def sagemaker_s3_output(self) -> Any:
        return read_hyperparameters().get("sagemaker_s3_output")

    def to_cmd_args(self) -> list[str]:
        words: list[str] = to_arguments(self["hyperparameters"])
        return words

    def to_env_vars(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("SM_")}


class TrainingEnv(Environment):
    """The same class under its name in sagemaker_containers."""


def read_json(path: str) -> Any:
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def read_hyperparameters() -> dict[str, Any]:
    """All hyperparameters, decoded, with the platform's own ones."""
    return {name: _decoded(value) for name, value in read_json(below("input/config/hyperparameters.json")).items()}


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def read_resource_config() -> Any:
    return read_json(below("input/config/resourceconfig.json"))


def read_input_data_config() -> Any:
    return read_json(below("input/config/inputdataconfig.json"))


def split_by_criteria(dictionary: Mapping[Any, Any], keys: Any = None, prefix: str | None = None) -> SplitResultSpec:
    """Splits a dictionary into the items whose key is in `keys` or begins with `prefix`, and the others."""
    chosen = {key for key in dictionary if key in (keys or ()) or (prefix and key.startswith(prefix))}
    included = {key: value for key, value in dictionary.items() if key in chosen}
    return SplitResultSpec(included, {key: value for key, value in dictionary.items() if key not in chosen})


def to_env_vars(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {f"SM_{name.upper()}" if name else "": to_text(value) for name, value in mapping.items()}


@contextlib.contextmanager
def tmpdir(suffix: str = "", prefix: str = "tmp", directory: str | None = None) -> Iterator[str]:
    folder = tempfile.mkdtemp(suffix, prefix, directory)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def write_file(path: str, data: Any, mode: str = "w") -> None:
    with open(path, mode) as stream:
        stream.write(data)


def read_file(path: str, mode: str = "r") -> Any:
    with open(path, mode) as stream:
        return stream.read()


def write_failure_file(failure_msg: str) -> None:
    """An existing failure file is not overwritten."""
    with contextlib.suppress(FileExistsError):
        write_file(below("output/failure"), failure_msg, "x")


class ClientError(Exception):
    """An error of the user's code."""


def _environment() -> dict[str, Any]:
    """The content of sagemaker_training.environment and of sagemaker_containers' `env`."""
    return {
        "Environment": Environment,
        "SAGEMAKER_BASE_PATH": "/opt/ml",
        "BASE_PATH_ENV": "SAGEMAKER_BASE_DIR",
        "HYPERPARAMETERS_FILE": "hyperparameters.json",
        "RESOURCE_CONFIG_FILE": "resourceconfig.json",
        "INPUT_DATA_CONFIG_FILE": "inputdataconfig.json",
        "base_dir": base_dir(),
        "code_dir": below("code"),
        "model_dir": below("model"),
        "input_dir": below("input"),
        "input_config_dir": below("input/config"),
        "output_dir": below("output"),
        "output_data_dir": below("output/data"),
        "output_intermediate_dir": below("output/intermediate"),
        "hyperparameters_file_dir": below("input/config/hyperparameters.json"),
        "input_data_config_file_dir": below("input/config/inputdataconfig.json"),
        "resource_config_file_dir": below("input/config/resourceconfig.json"),
        "channel_path": lambda channel: below("input/data", channel),
        "num_cpus": lambda: Environment().num_cpus,
        "num_gpus": lambda: Environment().num_gpus,
        "num_neurons": lambda instance_type="": Environment().num_neurons,
        **{reader.__name__: reader for reader in (read_hyperparameters, read_resource_config, read_input_data_config)},
    }


def _files() -> dict[str, Any]:
    return {
        **{function.__name__: function for function in (tmpdir, write_file, read_file, read_json)},
        "write_success_file": lambda: write_file(below("output/success"), ""),
        "write_failure_file": write_failure_file,
    }


def _logging(logger: str) -> dict[str, Any]:
    form = "%(asctime)s %(name)-12s %(levelname)-8s %(message)s"
    return {
        "get_logger": lambda: logging.getLogger(logger),
        "configure_logger": lambda level, log_format=form: logging.basicConfig(format=log_format, level=level),
    }


def _mapping() -> dict[str, Any]:
    functions = (to_env_vars, split_by_criteria, SplitResultSpec)
    return {**{function.__name__: function for function in functions}, "to_cmd_args": to_arguments}


def _errors(package: str) -> dict[str, Any]:
    client = type("ClientError", (ClientError,), {"__module__": f"{package}.errors"})
    below_it = ("InstallModuleError", "InstallRequirementsError", "ImportModuleError", "ExecuteUserScriptError")
    others = ("ChannelDoesNotExistError", "UnsupportedFormatError", "SMTrainingCompilerConfigurationError")
    made = {"ClientError": client}
    for names, base in ((below_it, client), (others, Exception)):
        made.update({name: type(name, (base,), {"__module__": client.__module__}) for name in names})
    return made


def sagemaker_training() -> Content:
    package = "sagemaker_training"
    return {
        f"{package}.environment": _environment(),
        f"{package}.params": PARAMS,
        f"{package}.mapping": _mapping(),
        f"{package}.files": _files(),
        f"{package}.errors": _errors(package),
        f"{package}.logging_config": _logging("sagemaker-training-toolkit"),
        f"{package}.content_types": CONTENT_TYPES,
    }


def sagemaker_containers() -> Content:
    """The same content for its predecessor, which has each module twice: `_env` and `beta.framework.env`."""
    package = "sagemaker_containers"
    training_env = {"training_env": TrainingEnv}
    modules = {
        "env": {**_environment(), "TrainingEnv": TrainingEnv},
        "params": PARAMS,
        "mapping": _mapping(),
        "files": _files(),
        "errors": _errors(package),
        "logging": _logging("sagemaker-containers"),
        "content_types": CONTENT_TYPES,
    }
    return {
        package: training_env,
        f"{package}.beta.framework": training_env,
        **{f"{package}.beta.framework.{name}": names for name, names in modules.items()},
        **{f"{package}._{name}": names for name, names in modules.items()},
    }


def sagemaker_inference() -> Content:
    return {"sagemaker_inference.content_types": {**CONTENT_TYPES, "NPZ": "application/x-npz"}}
