"""What a user of SageMaker's Python SDK, version 2, does in local mode: run by test_sdk_v2.py in the SDK's own
virtual environment, one of the functions below by its name, with keyword arguments as JSON. Prints what came of it
in a line that begins with RESULT, as JSON too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.model import Model
from sagemaker.serializers import CSVSerializer, JSONSerializer

ROLE = "arn:aws:iam::111111111111:role/a-role"
SERIALIZERS = {"json": (JSONSerializer, JSONDeserializer), "csv": (CSVSerializer, CSVDeserializer)}


def session(root: str, port: int = 8080) -> LocalSession:
    local = LocalSession(boto3.Session(region_name="us-east-1"))
    local.config = {"local": {"local_code": True, "container_root": root, "serving_port": port}}
    return local


def estimator(root: str, image: str, hosts: int = 1, **more: Any) -> Estimator:
    out = Path(root, "out")
    out.mkdir(exist_ok=True)
    return Estimator(
        image_uri=image,
        role=ROLE,
        instance_count=hosts,
        instance_type="local",
        output_path=f"file://{out}",
        sagemaker_session=more.pop("sagemaker_session", None) or session(root),
        **more,
    )


def fit(root: str, image: str, data: str, **more: Any) -> dict[str, Any]:
    """What a training job ends with: the files that it left, or why it failed."""
    trained = estimator(root, image, **more)
    try:
        trained.fit({"training": f"file://{data}"})
    except RuntimeError as error:
        return {"error": str(error)}
    return {"model": trained.model_data}


def fit_deploy_predict(
    root: str, image: str, data: str, port: int, requests: list[tuple[str, Any]], **more: Any
) -> list[Any]:
    """The answers of an endpoint whose model has just been trained; `requests` are (serializer, value)."""
    trained = estimator(root, image, sagemaker_session=session(root, port), **more)
    trained.fit({"training": f"file://{data}"})
    predictor = trained.deploy(initial_instance_count=1, instance_type="local")
    answers = []
    try:
        for name, value in requests:
            serializer, deserializer = SERIALIZERS[name]
            predictor.serializer, predictor.deserializer = serializer(), deserializer()
            answers.append(predictor.predict(value))
    finally:
        predictor.delete_endpoint()
    return answers


def transform(root: str, image: str, model: str, data: str, port: int) -> dict[str, str]:
    """A batch transform job: the files that it wrote."""
    out = Path(root, "transformed")
    out.mkdir()
    brought = Model(image_uri=image, model_data=model, role=ROLE, sagemaker_session=session(root, port))
    transformer = brought.transformer(
        instance_count=1,
        instance_type="local",
        output_path=f"file://{out}",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="text/csv",
    )
    # Runs to its end here; to wait for it would ask CloudWatch for the log.
    transformer.transform(f"file://{data}", content_type="text/csv", split_type="Line", wait=False, logs=False)
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.out")}


if __name__ == "__main__":
    print("RESULT", json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
