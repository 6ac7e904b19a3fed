"""HTTP headers: one look-up for all code that reads them, one check for all code that writes them.

https://www.rfc-editor.org/rfc/rfc9110#name-fields
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Latin-1 without control characters: what one line of a head can hold. Some clients take U+0085 for a line's end.
VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# Checked only for staying on its line: scripts answer with types of their own invention, which the toolkits pass on.
MEDIA_TYPE = re.compile(r"[\x20-\x7e]+")
# Headers that the server writes itself: they belong to the connection, or say where the answer ends. nginx obeys
# X-Accel-*.
SERVERS_OWN = frozenset(
    {"connection", "content-length", "content-type", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
NGINX_PREFIX = "x-accel-"
# Words of header names whose capitals are not like This.
SPELLED = {"Sagemaker": "SageMaker", "Etag": "ETag", "Md5": "MD5", "Www": "WWW", "Te": "TE"}


@lru_cache(maxsize=256)
def cgi_name(name: str) -> str:
    """WSGI's name of a header: `HTTP_ACCEPT` for `Accept`, but `CONTENT_TYPE` and `CONTENT_LENGTH` without HTTP_."""
    upper = name.upper().replace("-", "_")
    return upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"


def cgi_variables(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their WSGI names. The values of a repeated header are joined with commas."""
    variables: dict[str, str] = {}
    for header, value in headers:
        name = cgi_name(header)
        variables[name] = f"{variables[name]},{value}" if name in variables else value
    return variables


def look_up(variables: Mapping[str, Any], name: str) -> str:
    """The value of a header in WSGI's variables, whatever the case of its name; empty if it was not sent."""
    value: str = variables.get(cgi_name(name), "")
    return value


def all_of(variables: Mapping[str, Any]) -> dict[str, str]:
    """All headers of a request, with the names as SageMaker and the RFCs spell them; WSGI does not keep the client's
    spelling."""
    return {
        spelled(name): value
        for name, value in variables.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }


def from_elsewhere(header: Callable[[str], str | None]) -> bool:
    """Whether a browser sends this request for a page of another origin. Other clients send no Origin.

    Guards what browsers let any page do without a preflight request (https://fetch.spec.whatwg.org/#cors-protocol).
    """
    origin = header("Origin")
    return bool(origin) and str(origin).rpartition("://")[2].lower() != (header("Host") or "").lower()


@lru_cache(maxsize=256)
def spelled(variable: str) -> str:
    """`X-Amzn-SageMaker-Custom-Attributes` for HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES."""
    words = variable.removeprefix("HTTP_").title().split("_")
    return "-".join(SPELLED.get(word, word) for word in words)


@lru_cache(maxsize=256)
def check_media_type(text: str) -> None:
    """Raises ValueError for a Content-Type that is not a text, or that would add lines to the head of an answer."""
    if not isinstance(text, str) or not MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"the answer's media type is {text!r}; it must be a text such as application/json")


def check(headers: Iterable[tuple[str, str]]) -> None:
    """Raises ValueError for a header that an answer must not have: its name is no token, its value would add lines to
    the head, or only the server may write it."""
    for name, value in headers:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise ValueError(f"the answer's header {name!r} has no valid name: letters, digits and hyphens")
        if not isinstance(value, str) or not VALUE.fullmatch(value):
            raise ValueError(f"the answer's header {name} is {value!r}; it must be Latin-1 text of one line")
        if name.lower() in SERVERS_OWN or name.lower().startswith(NGINX_PREFIX):
            raise ValueError(f"the answer's header {name} is the server's own, and cannot be set")
