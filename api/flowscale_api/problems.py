"""From an error to an answer: {"ok": false, "error": {code, message, details?}}, whatever went wrong and where. Only a
browser that opens an address below /admin is answered by a page (error_pages.py)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from flowscale.errors import (
    FlowScaleError,
    Internal,
    InvalidOptions,
    MethodNotAllowed,
    NotFound,
    RequestError,
    ServiceError,
    TooManyAttempts,
    Unauthorized,
)
from flowscale.validation import MAX_FAULTS, json_path
from flowscale_api.access.callers import is_admin
from flowscale_api.error_pages import error_page, is_wanted
from flowscale_api.schemas import ErrorBody, Problem, json_answer


def problem(error: FlowScaleError, headers: Mapping[str, str] | None = None, *, whole: bool = False) -> Response:
    """The answer to a request that met this error; `whole`: to whoever runs the service."""
    body = Problem(error=error_body(error, whole=whole))
    return json_answer(body, status=error.status, headers=_headers(error, headers))


def answer_to(request: Request, error: FlowScaleError, headers: Mapping[str, str] | None = None) -> Response:
    """Likewise, as far as who asks may know it; as a page where a browser wants one."""
    if is_wanted(request):
        return error_page(request, error, _headers(error, headers))
    return problem(error, headers, whole=is_admin(request))


def _headers(error: FlowScaleError, headers: Mapping[str, str] | None) -> dict[str, str]:
    return dict(headers or {}) | retry_after(error) | _challenge(error)


def retry_after(error: FlowScaleError) -> dict[str, str]:
    """The header Retry-After, where the error has one."""
    if isinstance(error, ServiceError | TooManyAttempts) and error.retry_after is not None:
        return {"Retry-After": str(error.retry_after)}
    return {}


def _challenge(error: FlowScaleError) -> dict[str, str]:
    """How to say who one is, as every 401 must tell (RFC 9110, 11.6.1)."""
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}


def error_body(error: FlowScaleError, *, whole: bool = False) -> ErrorBody:
    """As strangers are told it, or the `whole` of it."""
    # Through JSON once: details hold what errors put there, and an answer must never fail to be written.
    details = json.loads(json.dumps(dict(error.details), default=str)) or None
    return ErrorBody(code=error.code, message=error.message if whole else error.public, details=details)


def internal(request: Request) -> Response:
    """The answer to a bug: it says nothing of the inside; the log has the traceback under the request id."""
    mistake = Internal("The server made a mistake. Its log tells more under this answer's X-Request-Id.")
    return answer_to(request, mistake)


def install(app: FastAPI) -> None:
    """Have every error that a handler or the router raises answered in this form."""
    app.add_exception_handler(FlowScaleError, _known)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _of_the_router)


def note_fault(request: Request, error: FlowScaleError) -> None:
    """Have the request's line of the log tell what its answer does not."""
    if error.public != error.message:
        request.state.fault = error.message


async def _known(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestError | ServiceError):
        note_fault(request, error)
        return answer_to(request, error)
    raise error  # a RenderError, LeaseLost or the like belongs to workers: here it is a bug


async def _invalid_parameters(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {
            "path": json_path(fault["loc"][1:2]),  # after where it stands: its name
            "message": str(fault["msg"]).replace("Input should be ", "must be "),
        }
        for fault in error.errors()[:MAX_FAULTS]
    ]
    first = faults[0]
    message = f"The request has options that cannot be used: {first['path']}: {first['message']}."
    return problem(InvalidOptions(message, details={"faults": faults}))


async def _of_the_router(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    where = f"{request.method} {request.url.path[:200]}"
    if error.status_code == NotFound.status:
        return answer_to(request, NotFound(f"There is nothing at {where}. GET /docs lists what there is."))
    if error.status_code == MethodNotAllowed.status:
        allowed = ", ".join(sorted(_methods(request)))
        return problem(MethodNotAllowed(f"{where} is not possible; allowed: {allowed}."), {"Allow": allowed})
    raise error  # the framework raises no other here; if one day it does, the log shall show it


def _methods(request: Request) -> set[str]:
    """What the path takes, whichever of its routes does: the framework names the methods of one of them."""
    matching = [route for route in _routes(request.app.routes) if route.path_regex.match(request.scope["path"])]
    # A path that is named in full is its own; and what stands in for another method is not advertised, but HEAD is.
    fewest = min((len(route.param_convertors) for route in matching), default=0)
    own = [route for route in matching if len(route.param_convertors) == fewest]
    shown = [route for route in own if route.include_in_schema or route.methods == {"HEAD"}] or own
    return {method for route in shown for method in route.methods or ()}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            # FastAPI keeps a router that was included as it was.
            yield from _routes(getattr(getattr(route, "original_router", route), "routes", ()))
