"""gunicorn with our own master, as `serve` starts it."""

from __future__ import annotations

from gunicorn.app.wsgiapp import WSGIApplication

from byo_container.serving.workers.arbiter import Arbiter


class Application(WSGIApplication):  # type: ignore[misc]
    """gunicorn with our own master."""

    def run(self) -> None:
        Arbiter(self).run()


Application("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").run()
