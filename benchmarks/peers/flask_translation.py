"""A translator as the AWS sample serves it, written from its description: Flask, one model, a request at a time.

    MODEL_DIR=… gunicorn -w 1 flask_translation:application

fairseq's own generator with its settings for inference, beam 5, on all cores. That sample expects words and pieces;
here raw text goes through the same text.py as in `serve`, so that both get the same requests.
"""

import json
import os
from pathlib import Path

from flask import Flask, Response, request

from benchmarks.peers.fairseq_offline import Model

application = Flask(__name__)
model = Model(Path(os.environ["MODEL_DIR"]))


@application.post("/invocations")
def invocations() -> Response:
    (translation,) = model.translate([model.pieces(request.get_json())])
    return Response(json.dumps(translation), mimetype="application/json")
