"""gunicorn, as `serve` starts it.

gunicorn puts the working directory in front of everything that can be imported. Our own rooms are imported
before that, so that a folder there with one of their names is not taken for ours.
"""

from __future__ import annotations

from gunicorn.app.wsgiapp import WSGIApplication

import container.handler  # noqa: F401
import serving.gunicorn_conf  # noqa: F401
from serving.arbiter import Arbiter


class Application(WSGIApplication):  # type: ignore[misc]
    """gunicorn with our own master."""

    def run(self) -> None:
        Arbiter(self).run()


Application("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").run()
