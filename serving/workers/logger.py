"""gunicorn's log in our format: one line a message, as text or JSON."""

from __future__ import annotations

import logging

from gunicorn.glogging import Logger as GunicornLogger

from byo_container.container.log import configure, log


class Logger(GunicornLogger):  # type: ignore[misc]
    """Sends gunicorn's messages to our handlers."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        configure()
        for name in ("gunicorn.error", "gunicorn.access"):
            logger = logging.getLogger(name)
            if logger.handlers:
                logger.handlers[:] = log.handlers
