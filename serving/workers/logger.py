"""gunicorn's log in our own form: a line each, as text or JSON."""

from __future__ import annotations

import logging

from gunicorn.glogging import Logger as GunicornLogger

from byo_container.container import log


class Logger(GunicornLogger):  # type: ignore[misc]
    """Messages of gunicorn go where ours go."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        log.configure()
        for name in ("gunicorn.error", "gunicorn.access"):
            logger = logging.getLogger(name)
            if logger.handlers:
                logger.handlers[:] = log.log.handlers
