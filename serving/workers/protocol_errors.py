"""Which answer a request gets that gunicorn cannot read: gunicorn's own statuses, in our shape."""

from __future__ import annotations

from gunicorn.http import errors

from byo_container.serving.errors import RequestError

# The first class that fits counts.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.LimitRequestLine, 414),
    (errors.ExpectationFailed, 417),
    (errors.LimitRequestHeaders, 431),
    (errors.ForbiddenProxyRequest, 403),
    (errors.UnsupportedTransferCoding, 501),
    # These are no fault of the client's.
    (errors.ConfigurationProblem, 500),
    (errors.InvalidProxyHeader, 500),
    (errors.InvalidResponseHeader, 500),
    (errors.InvalidResponseHeaderName, 500),
    (errors.ParseException, 400),
)


def request_error(error: BaseException) -> RequestError:
    """The error that the client sees."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    return RequestError(status, "the server failed; its log says why" if status == 500 else str(error))
