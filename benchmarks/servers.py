"""The servers that are compared: how each is started and which request it gets.

A server is a function from a Place to a Launch, which only describes; `serving` runs it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchmarkError, Command, free_port, running, wait_until

HERE = Path(__file__).parent
PEERS = HERE / "peers"
OUR_BIN = Path(sys.executable).parent
WORKERS = "2"
START_TIMEOUT = 120.0  # seconds; multi-model-server alone needs over ten
HEADLINE = "Why Exercise Alone May Not Be the Key to Weight Loss"
QUESTION = json.dumps({"input": HEADLINE}).encode()


@dataclass(frozen=True)
class Place:
    """Where one start of one server may live."""

    folder: Path  # empty, its own, readable by nginx's user
    port: int
    programs: Path  # the bin folder of its virtual environment


@dataclass(frozen=True)
class Launch:
    """The processes of a server, and how it is spoken to."""

    commands: tuple[Command, ...]
    path: str = "/invocations"
    body: bytes = QUESTION
    bodies: tuple[bytes, ...] = ()  # what the load sends in turn; without them, body again and again
    answer: Callable[[Any], object] = lambda reply: reply["result"]
    expected: str | None = HEADLINE  # None: any answer will do


@dataclass(frozen=True)
class Server:
    """One row of a table. `peer` names its pins in peers/; ours and the references have none."""

    label: str
    launch: Callable[[Place], Launch]
    peer: str | None = None


@dataclass(frozen=True)
class Served:
    """A server that runs and has answered rightly."""

    port: int
    launch: Launch
    processes: tuple[subprocess.Popen[bytes], ...]  # one for each of its commands

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.launch.path}"


# --- ours ---------------------------------------------------------------------------------------


def ours(place: Place, env: dict[str, str], model_dir: Path | None = None) -> Launch:
    """`serve` in the environment that the platform would set, without an access log."""
    base = place.folder / "ml"
    base.mkdir()
    (base / "model").symlink_to(model_dir.resolve()) if model_dir else (base / "model").mkdir()
    variables = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(place.port),
        "MODEL_SERVER_WORKERS": WORKERS,
        "MODEL_SERVER_ACCESS_LOG": "false",
        **env,
    }
    return Launch((Command((str(place.programs / "serve"),), env=variables),))


def our_server(handler: str, label: str = "", **env: str) -> Server:
    """A handler of this folder, such as "echo:Echo", behind `serve`."""
    variables = {"MODEL_HANDLER": handler, "PYTHONPATH": str(HERE), **env}
    return Server(label or f"serve, {handler}", partial(ours, env=variables))


def our_script(script: Path) -> Server:
    """An inference.py behind `serve`, in the model's code folder, as SageMaker's toolkits have it."""

    def launch(place: Place) -> Launch:
        code = place.folder / "with script" / "code"
        code.mkdir(parents=True)
        shutil.copy(script, code / "inference.py")
        return ours(place, env={}, model_dir=code.parent)

    return Server("byo-container: `serve`, inference.py", launch)


def our_model(model_dir: Path) -> Server:
    """A trained model behind `serve`, which finds the handler that the model remembers."""

    def launch(place: Place) -> Launch:
        return replace(ours(place, env={}, model_dir=model_dir), expected=None)

    return Server("serve, a trained model", launch)


# --- references, in our own virtual environment ---------------------------------------------------

NGINX = """
worker_processes 1;
daemon off;
pid FOLDER/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  upstream application {
    server unix:FOLDER/gunicorn.sock;
    keepalive 64;
  }
  server {
    listen 127.0.0.1:PORT;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
"""


def gunicorn(place: Place, application: str, bind: str, kind: str = "gevent") -> Command:
    options = ("-k", kind, "-w", WORKERS, "-b", bind, "--chdir", str(PEERS))
    python = str(place.programs / "python")
    return Command((python, "-m", "gunicorn", *options, "--no-control-socket", application))


def behind_nginx(place: Place, application: str) -> Launch:
    """One nginx worker, kept-alive HTTP 1.1 over a Unix socket, no access log."""
    config = place.folder / "nginx.conf"
    text = NGINX.replace("FOLDER", str(place.folder)).replace("PORT", str(place.port))
    config.write_text(text)
    nginx = Command(("nginx", "-c", str(config), "-p", str(place.folder), "-e", "stderr"))
    return Launch((gunicorn(place, application, f"unix:{place.folder}/gunicorn.sock"), nginx))


# --- peers, each in its own virtual environment ---------------------------------------------------


def inference_server(place: Place) -> Launch:
    bind = f"127.0.0.1:{place.port}"
    return Launch((gunicorn(place, "inference_server_echo:application", bind),))


def multi_model_server_echo(place: Place) -> Launch:
    code = place.folder / "with script" / "code"
    code.mkdir(parents=True)
    shutil.copy(MMS_SCRIPT, code / "inference.py")
    return multi_model_server(place, "mms_start.py", code.parent)


def multi_model_server(place: Place, start: str, model_dir: Path, env: dict[str, str] | None = None) -> Launch:
    """`start` is a file of peers/. Its programs are looked up on PATH; logs and pid file would land outside its
    folder."""
    if not shutil.which("java"):
        raise BenchmarkError("needs Java: apt-get install -y openjdk-17-jre-headless")
    shutil.copytree(model_dir, place.folder / "model")
    variables = {
        "PATH": f"{place.programs}:/usr/local/bin:/usr/bin:/bin",
        "SAGEMAKER_BASE_DIR": str(place.folder),
        "SAGEMAKER_BIND_TO_PORT": str(place.port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": WORKERS,
        "TMPDIR": str(place.folder),
        "LOG_LOCATION": str(place.folder),
        "METRICS_LOCATION": str(place.folder),
        **(env or {}),
    }
    return Launch((Command((str(place.programs / "python"), str(PEERS / start)), env=variables),))


def mlserver(place: Place) -> Launch:
    """`parallel_workers` 0: with 1, version 1.7 fails at start ("no current event loop")."""
    settings = {"host": "127.0.0.1", "http_port": place.port, "grpc_port": free_port()}
    settings |= {"metrics_port": free_port(), "parallel_workers": 0, "debug": False}
    model = {"name": "echo", "implementation": "mlserver_echo.Echo"}
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    start = (str(place.programs / "mlserver"), "start", str(place.folder))
    return mlserver_question(Command(start, env={"PYTHONPATH": str(PEERS)}), "echo")


def mlserver_question(start: Command, model: str) -> Launch:
    """The headline by the V2 inference protocol."""
    tensor = {"name": "input", "shape": [1], "datatype": "BYTES", "data": [HEADLINE]}
    return Launch(
        (start,),
        path=f"/v2/models/{model}/infer",
        body=json.dumps({"inputs": [tensor]}).encode(),
        answer=lambda reply: reply["outputs"][0]["data"][0],
    )


def litserve(place: Place) -> Launch:
    start = (str(place.programs / "python"), str(PEERS / "litserve_echo.py"), str(place.port))
    return Launch((Command(start),))


ECHO = our_server("echo:Echo", "byo-container: `serve`, a handler")
MMS_SCRIPT = PEERS / "mms_inference.py"  # the very same file for both
SERVERS = {
    "bare": Server("nginx + bare WSGI", partial(behind_nginx, application="bare_echo:application")),
    "flask": Server("nginx + Flask", partial(behind_nginx, application="flask_echo:application")),
    "ours": ECHO,
    "script": our_script(MMS_SCRIPT),
    "mms": Server("sagemaker-inference + multi-model-server, the same inference.py", multi_model_server_echo, "mms"),
    "mlserver": Server("MLServer, one process", mlserver, "mlserver"),
    "litserve": Server("LitServe", litserve, "litserve"),
    "inference-server": Server("inference-server, no nginx", inference_server, "inference-server"),
}


# --- running them ---------------------------------------------------------------------------------


@contextmanager
def serving(server: Server, programs: Path = OUR_BIN) -> Iterator[Served]:
    """The server, started in a folder of its own, once it has answered; BenchmarkError with its log."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        folder.chmod(0o755)  # nginx's workers are another user when its master is root
        place = Place(folder, free_port(), programs)
        launch = server.launch(place)
        log = folder / "log"
        try:
            started = tuple(stack.enter_context(running(c, log)) for c in launch.commands)
            served = Served(place.port, launch, started)
            wait_until(partial(answers, served), started, START_TIMEOUT)
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{server.label}: {error}\n{tail(log)}") from None
        yield served


def answers(served: Served) -> bool:
    """Whether it answers yet. BenchmarkError when it answers something else than it should."""
    try:
        status, body = ask(served.port, served.launch.path, served.launch.body)
    except (OSError, http.client.HTTPException):
        return False
    if status != 200:
        return False  # most servers answer before they are ready
    answer = served.launch.answer(json.loads(body))
    if served.launch.expected not in (answer, None):
        raise BenchmarkError(f"answered {body[:200]!r}")
    return True


def ask(port: int, path: str, body: bytes | None = None, timeout: float = 10.0) -> tuple[int, bytes]:
    """One request on a connection of its own (GET without a body): status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, indented, to stand under an error."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


# --- virtual environments -------------------------------------------------------------------------


def environment(server: Server, cache: Path) -> Path:
    """The bin folder of the server's virtual environment, made on first use from its pins.

    Pins are in the folder's name, so changed pins make a new one. BenchmarkError when pip fails.
    """
    if server.peer is None:
        return OUR_BIN
    pins = PEERS / f"{server.peer}.txt"
    folder = cache / f"{server.peer}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:8]}"
    if not (folder / "complete").exists():
        print(f"installing {server.label} into {folder}", file=sys.stderr, flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([str(folder / "bin" / "pip"), "install", "--quiet", "--requirement", str(pins)])
        (folder / "complete").touch()
    return folder / "bin"


def run(argv: list[str]) -> None:
    ran = subprocess.run(argv, capture_output=True, text=True)
    if ran.returncode:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-1:]
        raise BenchmarkError(f"{Path(argv[0]).name} {argv[1]}: {' '.join(last)}")


def versions(server: Server) -> str:
    """What was measured: the pins above the first comment of the peer's file."""
    if server.peer is None:
        return ""
    pins = (PEERS / f"{server.peer}.txt").read_text()
    return ", ".join(pins.split("#")[0].split()).replace("==", " ")
