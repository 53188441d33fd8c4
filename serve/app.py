"""The application: settings in, ASGI out."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from classifier import __version__
from classifier.errors import WeileiError
from serve.drain import on_signals
from serve.errors import ProblemError, no_room, of, problem
from serve.guard import UPLOADS, Guard, answered
from serve.pages import add_pages
from serve.protocol import PatientProtocol
from serve.refusals import Refusals
from serve.routes import health, v1
from serve.runtime import Runtime
from serve.schemas import ProblemOut
from serve.settings import CONFIG, Settings, in_words, load_settings

_GOOD = {"200": "办成了", "202": "收下了，在排队", "204": "删除了"}  # what OpenAPI says of it


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The whole server as one ASGI application.

    Raises:
        InputError: the settings are wrong.
        ModelError: the model folder cannot be used.
    """
    if settings is None:  # a worker process of uvicorn
        set_up_logging()
        file = os.environ.get(CONFIG)
        settings = load_settings(Path(file) if file else None)
    runtime = Runtime(settings)
    # uvicorn makes the protocols itself.
    PatientProtocol.patience = settings.slow_client
    PatientProtocol.refusal = staticmethod(Refusals(runtime.admit, runtime.metrics))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with runtime.life():
            on_signals(runtime)
            yield

    app = FastAPI(
        title="微类", version=__version__, lifespan=life, openapi_url="/v1/openapi.json",
        docs_url=None, redoc_url=None,
        description="给群众意见建议定类。出错时的回答都是 application/problem+json（RFC 9457）。",
    )  # fmt: skip
    app.state.runtime = runtime
    app.include_router(v1)
    app.include_router(health)
    add_pages(app)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(WeileiError, _library)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    _describe(app, settings)
    guarded = Guard(app, settings, runtime.metrics, runtime.admit)
    if not settings.allow_origins:
        return guarded
    # Outermost: a page must be able to read what the guard refuses, and Retry-After.
    return _Cors(
        guarded, allow_origins=settings.allow_origins, allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["content-type", "x-api-key"], max_age=600,
        expose_headers=["retry-after", "x-request-id"],
    )  # fmt: skip


def set_up_logging() -> None:
    """One line of JSON a request; of others only what they call a warning."""
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Lines())
    logging.getLogger("weilei.serve").setLevel(logging.INFO)
    # These two quote what they stumble over: a byte of the body, the value of a cell.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="openpyxl")


class _Lines(logging.Formatter):
    """Our own lines as they are; of others what they say, without values or tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        if record.name == "weilei.serve":
            return record.getMessage()
        lines = str(record.msg).strip().splitlines() or [""]
        # Of a whole traceback the kind of error.
        said = lines[-1].partition(":")[0] if lines[0].startswith("Traceback") else lines[0]
        line = {"time": round(record.created, 3), "logger": record.name, "said": said}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line)


class _Cors(CORSMiddleware):
    """Starlette's own, except that its refusals are problem details."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        own = ("content-type", "content-length")
        headers = {name: v for name, v in response.headers.items() if name not in own}
        return problem(400, "allow_origins 里没有这个网站，或者它用的方法、请求头不允许。", headers)


def _describe(app: FastAPI, settings: Settings) -> None:
    """Add to OpenAPI what FastAPI cannot know: problem details, the key and the settings."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        schema = plain()
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status in _GOOD:
                        response["description"] = _GOOD[status]
        upload = schema["paths"][UPLOADS]["post"]
        kept = in_words(settings.keep_files)
        upload["description"] = upload["description"].replace("{keep_files}", kept)
        parts = schema.setdefault("components", {})
        parts.setdefault("schemas", {})["ProblemOut"] = ProblemOut.model_json_schema()
        if settings.api_keys:
            parts["securitySchemes"] = {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}
            }
            for path, operations in schema["paths"].items():
                if path.startswith("/v1/"):
                    for operation in operations.values():
                        operation["security"] = [{"key": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return answered(request.scope, error)


async def _library(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WeileiError)
    return await _problem(request, of(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    headers = request.headers
    empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    of_body = any(e["loc"][0] == "body" for e in found)
    if of_body and (empty or any(e["type"] == "json_invalid" for e in found)):
        return await _problem(request, ProblemError(400))
    if of_body and not _wanted_type(request):
        return await _problem(request, ProblemError(415))
    where = "、".join(dict.fromkeys(map(_place, found)))
    detail = f"这些地方不合要求：{where[:200]}。请按接口说明改正后再发。"
    return await _problem(request, ProblemError(422, detail))


def _wanted_type(request: Request) -> bool:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.url.path == UPLOADS:
        return given == "multipart/form-data"
    return given == "application/json" or given.endswith("+json")


def _place(error: Any) -> str:
    """Where an error is, never the value or a foreign name: it may be what a citizen wrote."""
    if error["type"] == "extra_forbidden":
        return "有接口说明里没有的字段"
    place = ".".join(map(str, error["loc"][1:])) or "请求体"
    no_text = error["type"] in ("string_pattern_mismatch", "string_unicode")
    return place + ("（有空字符或半个字符，去掉再发）" if no_text else "")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ProblemError):  # raised while FastAPI read the body
        return await _problem(request, error.__cause__)
    if isinstance(error.__cause__, OSError):  # what is uploaded goes to the disk first
        return await _problem(request, no_room(error.__cause__))
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router names only the methods of the first route
        headers["Allow"] = ", ".join(_allowed(request)) or headers.get("Allow", "")
    return await _problem(request, ProblemError(error.status_code, headers=headers))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """Only the answer; the guard, where the exception goes on to, logs it."""
    return await _problem(request, ProblemError(500))


def _allowed(request: Request) -> list[str]:
    """Methods of all routes with the path that a request found."""
    path = getattr(request.scope.get("route"), "path", "")
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(path, {}))
