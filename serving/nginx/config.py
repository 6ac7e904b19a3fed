"""nginx's configuration, made from the settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from string import Template

from byo_container.serving.errors import error_body
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import MEGABYTE, Settings

# Statuses that a client gets in place of nginx's own: 494 is nginx's name for 431, and 502 (no worker) becomes 503, by
# which the client may try again.
NGINX_STATUSES = {431: "494", 503: "502 503"}
ERRORS = {
    400: "the request is not valid HTTP",
    404: "there is nothing here",
    405: "the method is not allowed",
    408: "the request took too long to arrive",
    413: "the body is above the limit of {megabytes} MB; send less at once",
    414: "the address is too long",
    431: "the headers are too large; one may have 8 KB, all of them 32 KB",
    500: "the server failed; its log says why",
    501: "the transfer coding is not known; send Content-Length, or a chunked body",
    503: "too many requests wait, no model is ready, or the worker of this request was lost; try again",
    504: "the model did not answer within {timeout} s; send less at once",
    505: "the version of HTTP is not known; send HTTP/1.1",
}


def find() -> str | None:
    """The path of nginx, also if PATH leaves out /usr/sbin; None if it is not installed."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def command_line(nginx: str, config: Path) -> list[str]:
    """The command line of nginx, with its errors on stderr from the first one on."""
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    number = version.partition("nginx/")[2].split(" ")[0].strip()
    knows_e = tuple(int(part) for part in number.split(".")[:3] if part.isdigit()) >= (1, 19, 5)
    return [nginx, *(["-e", "stderr"] if knows_e else []), "-c", str(config)]


def configuration(settings: Settings, run: RunFolder, as_root: bool) -> str:
    """The text of nginx.conf. All sockets and temporary files lie in `run`."""
    template = Template(files("byo_container.serving.nginx").joinpath("nginx.conf.template").read_text())
    return template.substitute(
        # As root, nginx would become `nobody`, for which a container without capabilities lacks the right.
        user="user root;" if as_root else "",
        runtime=run.path,
        predictions_socket=run.predictions_socket,
        health_socket=run.health_socket,
        port=settings.port,
        max_payload=settings.max_payload,
        # The worker gives up a slow model first, and answers 504 itself; nginx only ends requests to a hanging worker.
        timeout=settings.timeout_s + 10,
        load_timeout=settings.startup_timeout_s + settings.timeout_s + 10,
        access_log=access_log(settings),
        errors="\n".join(error_page(status, settings) for status in ERRORS),
    )


def access_log(settings: Settings) -> str:
    """The directives for the access log, which can be switched off, and for the statuses that we count."""
    status_only = "access_log /dev/stdout status_only if=$made_here;"
    if not settings.access_log:
        return status_only
    return f"{status_only}\n    access_log /dev/stdout {'json' if settings.json_logs else 'text'} if=$worth_a_line;"


def error_page(status: int, settings: Settings) -> str:
    """nginx's own errors in the same shape as the application's."""
    message = ERRORS[status].format(megabytes=settings.max_payload // MEGABYTE, timeout=settings.timeout_s)
    headers = "add_header X-Request-Id $request_id always;"
    if status == 405:  # for TRACE and CONNECT, which nginx never passes on
        headers += ' add_header Allow "DELETE, GET, HEAD, OPTIONS, POST" always;'
    if status == 503:
        headers += " add_header Retry-After 5 always;"
    return (
        f"        error_page {NGINX_STATUSES.get(status, status)} ={status} /.error/{status};\n"
        f"        location = /.error/{status} {{ internal; default_type application/json; {headers} "
        f"return {status} '{error_body(status, message).decode()}'; }}"
    )
