"""Transformers' pipeline behind Flask, as its users serve it: one text of a request after another.

MODEL_DIR=… gunicorn -w 2 flask_pipeline:application
"""

import os

from flask import Flask, Response, jsonify, request
from transformers import pipeline

application = Flask(__name__)
classify = pipeline("text-classification", model=os.environ["MODEL_DIR"])


@application.post("/invocations")
def invocations() -> Response:
    return jsonify(classify(request.get_json()["inputs"]))
