# mypy: ignore-errors

"""The `inference.py` that sagemaker-inference serves, by SageMaker's conventions."""

import json


def model_fn(model_dir):
    return None


def input_fn(input_data, content_type):
    return json.loads(input_data)


def predict_fn(data, model):
    return {"result": data["input"]}


def output_fn(prediction, accept):
    return json.dumps(prediction)
