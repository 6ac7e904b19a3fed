"""The test page, in a headless browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.support.server import TALKER

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.serving.support.server import Server, Start

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox"]} if os.geteuid() == 0 else {}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, **options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may go wrong, and that may ask nobody but our server."""
    page = browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: troubles.append(request.url) if "//127.0.0.1:" not in request.url else None)
    yield page
    page.close()
    # A browser tells of every answer that is an error, and of a server that is gone.
    assert not [text for text in troubles if not text.startswith(("Failed to load resource", "data:"))]


@pytest.fixture(scope="module")
def server(start_for_module: Start) -> Server:
    return start_for_module(handler=TALKER, MODEL_SERVER_PAGE="on").ready()


def test_page_is_off_by_default(start: Start) -> None:
    server = start().ready()
    for path in ("/", "/page/page.js", "/page/about.json"):
        assert server.status(path) == 404


def test_page_is_static_files_that_load_nothing_from_elsewhere(server: Server) -> None:
    for path, kind in (("/", "text/html"), ("/page/page.css", "text/css"), ("/page/page.js", "text/javascript")):
        answer = server.get(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(kind)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "http://" not in answer.text
        assert "https://" not in answer.text
    for path in ("/page/index.html", "/page/../page_api.py", "/page/%2e%2e/page_api.py", "/page/"):
        assert server.status(path) == 404


@needs_chromium
def test_page_shows_the_model_and_its_predictions(server: Server, page: Page) -> None:
    page.goto(server.url)
    about = page.locator("#about")
    about.get_by_text("talker:Talker").wait_for()
    assert str(server.root / "model") in about.inner_text()
    assert page.locator("#content-type option").all_inner_texts()[0] == "application/json"
    page.get_by_label("Payload").fill('{"a": [1, 2]}')
    page.get_by_role("button", name="Send").click()
    page.get_by_text("200 in").wait_for()
    assert page.locator("#answer").inner_text() == '{"a":[1,2]}'
    page.get_by_label("Payload").fill("{")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("400 in").wait_for()
    assert "not valid JSON" in page.locator("#answer").inner_text()


@needs_chromium
def test_page_shows_a_stream_as_it_arrives(server: Server, page: Page) -> None:
    page.goto(server.url)
    page.locator("#about").get_by_text("talker:Talker").wait_for()
    page.get_by_label("Payload").fill('{"count": 20, "pause": 0.1}')
    page.get_by_role("button", name="Send").click()
    page.locator("#answer", has_text="0 1 ").wait_for()
    assert "19" not in page.locator("#answer").inner_text()
    page.get_by_text("parts").wait_for()
    assert page.locator("#answer").inner_text().split() == [str(n) for n in range(20)]


@needs_chromium
def test_page_plots_requests_of_others(server: Server, page: Page) -> None:
    page.goto(server.url)
    page.get_by_text("1 worker is ready").wait_for()
    empty = page.locator("#throughput").screenshot()
    for number in range(200):
        server.ask(number)
    for figure in ("#rate", "#p99"):
        page.locator(figure, has_text=re.compile("[1-9]")).wait_for()
    assert page.locator("#throughput").screenshot() != empty


@needs_chromium
def test_page_offers_all_models(start: Start, root: Path, page: Page) -> None:
    name = "a/b <i>"
    code = root / "models" / "x" / "model" / "code"
    code.mkdir(parents=True)
    script = "def model_fn(d): return 1\ndef input_fn(d, c): return d\ndef predict_fn(d, m): return d + '!'\n"
    (code / "inference.py").write_text(script)
    many = {"SAGEMAKER_MULTI_MODEL": "true", "MODEL_SERVER_PAGE": "on", "MODEL_HANDLER": ""}
    server = start(root, **many).ready()
    server.post("/models", json={"model_name": name, "url": str(code.parent)})
    page.goto(server.url)
    page.locator("#name option").wait_for(state="attached")
    assert page.locator("#name option").all_inner_texts() == [name]
    page.get_by_role("button", name="Send").click()
    page.get_by_text("200 in").wait_for()
    assert page.locator("#answer").inner_text() == r'"\"hello\"!"'


@needs_chromium
def test_page_reports_a_lost_server(start: Start, page: Page) -> None:
    server = start(MODEL_SERVER_PAGE="on").ready()
    page.goto(server.url)
    page.get_by_text("1 worker is ready").wait_for()
    server.terminate()
    server.ended()
    page.get_by_text("the server does not answer").wait_for()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("no whole answer").wait_for()
