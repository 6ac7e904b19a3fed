"""Plain Flask, written as its tutorial would.

gunicorn -k gevent -w 2 flask_echo:application
"""

import json

from flask import Flask, Response, request

application = Flask(__name__)


@application.post("/invocations")
def invocations() -> Response:
    sent = request.get_json()
    return Response(json.dumps({"result": sent["input"]}), mimetype="application/json")
