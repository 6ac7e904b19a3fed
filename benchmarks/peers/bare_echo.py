# mypy: ignore-errors
"""The reference: what the interpreter, gunicorn and nginx cost when the application is a function.

gunicorn -k gevent -w 2 bare_echo:application
"""

import json


def application(environ, start_response):
    sent = json.loads(environ["wsgi.input"].read())
    answer = json.dumps({"result": sent["input"]}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start_response("200 OK", headers)
    return [answer]
