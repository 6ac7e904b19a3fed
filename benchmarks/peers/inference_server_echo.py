# mypy: ignore-errors
"""jpmorganchase's inference-server, without nginx, as its documentation starts it.

gunicorn -k gevent -w 2 inference_server_echo:application
"""

import inference_server
import orjson
from inference_server import _plugin


class Echo:
    @inference_server.plugin_hook()
    def model_fn(self, model_dir):
        return None

    @inference_server.plugin_hook()
    def input_fn(self, input_data, content_type):
        return orjson.loads(input_data)

    @inference_server.plugin_hook()
    def predict_fn(self, data, model):
        return {"result": data["input"]}

    @inference_server.plugin_hook()
    def output_fn(self, prediction, accept):
        return orjson.dumps(prediction), "application/json"


_plugin.manager().register(Echo())
application = inference_server.create_app()
