# mypy: ignore-errors
"""Starts sagemaker-inference's multi-model-server with its configuration out of /etc.

SAGEMAKER_BASE_DIR=FOLDER python mms_start.py    # FOLDER/model/code/inference.py is served
"""

import os

from sagemaker_inference import model_server

if __name__ == "__main__":
    model_server.MMS_CONFIG_FILE = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "mms.properties")
    model_server.start_model_server()
