"""Warnings about what a job asks for and does not get here, and about its image, logged before it starts."""

from __future__ import annotations

from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.source import console_scripts


def warn(job: TrainingJob[Any]) -> None:
    """Logs the warnings that apply to the job."""
    for text in (*about_intermediate_output(job), *console_scripts.shadowed(["train"])):
        log.warning("%s", text)


def about_intermediate_output(job: TrainingJob[Any]) -> list[str]:
    """SageMaker's toolkit copies output/intermediate to sagemaker_s3_output while it trains; this container does
    not."""
    address = job.platform.get("sagemaker_s3_output")
    if not address:
        return []
    return [
        f"sagemaker_s3_output is {address}, and nothing is copied there: what is written to "
        f"{job.paths.output_intermediate} is lost with the container. Write to {job.paths.checkpoints}, which the "
        f"platform uploads while the job runs (CheckpointConfig), or to {job.paths.output_data}, uploaded at its end"
    ]
