"""What a user of SageMaker's Python SDK, version 3, does in local mode; see v2.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode


def train(
    root: str, image: str, data: str, hosts: int = 1, source_dir: str = "", **hyperparameters: Any
) -> dict[str, Any]:
    """What a training job ends with: its model's file, or why it failed."""
    trainer = ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        training_image=image,
        source_code=SourceCode(source_dir=source_dir, entry_script="train.py") if source_dir else None,
        compute=Compute(instance_type="local_cpu", instance_count=hosts),
        hyperparameters=hyperparameters,
        input_data_config=[InputData(channel_name="training", data_source=data)],
        local_container_root=root,
    )
    try:
        trainer.train()
    except RuntimeError as error:
        return {"error": str(error)}
    return {"model": str(Path(root, "compressed_artifacts/model.tar.gz"))}


def serve(root: str, image: str, model: str, port: int, requests: list[Any]) -> list[Any]:
    """The answers of what ModelBuilder deploys here. Its local mode starts an image of one's own only when it takes it
    for a multi-model-server. It pulls it, mounts the folder `code` of the model as the model, waits on port 8080 until
    the sample is answered, and starts a second one, with the whole model, on `port`, which then answers."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.local import LocalSession
    from sagemaker.serve import model_builder
    from sagemaker.serve.builder.schema_builder import SchemaBuilder
    from sagemaker.serve.mode.function_pointers import Mode as Served
    from sagemaker.serve.utils.types import ModelServer

    # Its local mode asks AWS whether the role may do what it will not be used for, and for a bucket.
    model_builder.resolve_and_validate_role = lambda provided_role, **_: provided_role
    session = Session()
    session._default_bucket = "nowhere"
    init = LocalSession.__init__

    def on_port(self: Any, *words: Any, **more: Any) -> None:
        init(self, *words, **more)
        self.config = {"local": {"serving_port": port}}

    LocalSession.__init__ = on_port

    builder = model_builder.ModelBuilder(
        model_path=model,
        image_uri=image,
        model_server=ModelServer.MMS,
        mode=Served.LOCAL_CONTAINER,
        schema_builder=SchemaBuilder(sample_input=[3, 4], sample_output=[7.0, 9.0]),
        role_arn="arn:aws:iam::111111111111:role/a-role",
        sagemaker_session=session,
        s3_model_data_url="s3://nowhere/model/",
        env_vars={},
    )
    builder.build()
    try:
        endpoint = builder.deploy_local()
        try:
            return [json.load(endpoint.invoke(body=body).body) for body in requests]
        finally:
            endpoint.delete()
    finally:
        builder.modes[str(Served.LOCAL_CONTAINER)].destroy_server()


if __name__ == "__main__":
    print("RESULT", json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
