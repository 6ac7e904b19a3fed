# mypy: ignore-errors
"""Starts sagemaker-huggingface-inference-toolkit's multi-model-server with its configuration out of /etc.

SAGEMAKER_BASE_DIR=FOLDER python huggingface_toolkit_start.py    # FOLDER/model is served
"""

import os

from sagemaker_huggingface_inference_toolkit import mms_model_server
from sagemaker_inference import model_server

if __name__ == "__main__":
    path = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "mms.properties")
    model_server.MMS_CONFIG_FILE = mms_model_server.MMS_CONFIG_FILE = path
    mms_model_server.start_model_server()
