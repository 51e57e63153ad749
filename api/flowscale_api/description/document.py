"""The OpenAPI document, the same wherever it is made: no setting and no environment is part of it.

tests/golden/openapi.json is its golden copy; `make generate` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from flowscale import __version__
from flowscale.errors import FileNotFound, StorageUnavailable
from flowscale.plans import PlanRequest
from flowscale.specs import ExecuteRequest
from flowscale_api.description.openapi import failures
from flowscale_api.description.security import describe_security
from flowscale_api.routes import ROUTERS
from flowscale_api.routes.admin.actions import RetryFailedRequest
from flowscale_api.routes.sessions import LoginRequest
from flowscale_api.uploads.presigned import PartsRequest, PresignRequest

TITLE = "FlowScale"
BODIES: tuple[type[BaseModel], ...] = (
    ExecuteRequest,
    PlanRequest,
    PresignRequest,
    PartsRequest,
    LoginRequest,
    RetryFailedRequest,
)

_REF = "#/components/schemas/{model}"
_FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")  # never answered: problems.py answers instead


def openapi_json() -> str:
    """The document as text, in a stable order."""
    router = APIRouter()
    for part in ROUTERS:
        router.include_router(part)
    return json.dumps(document(router.routes), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    made = get_openapi(
        title=TITLE,
        version=__version__,
        summary="Video renders over HTTP: upload, execute, watch, fetch.",
        description="Every failure is `{ok: false, error: {code, message, details?}}`; programs go by `code`.",
        routes=routes,
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORKS_OWN:
        schemas.pop(name, None)
    for model in BODIES:
        _add_schema(schemas, model)
    for schema in schemas.values():
        _finish_schema(schema)
    for folder in ("outputs", "uploads"):
        made["paths"][f"/{folder}/{{path}}"] = _file_operations(folder)
    describe_security(made, routes)
    for operation in (operation for path in made["paths"].values() for operation in path.values()):
        _finish(operation)
    made["components"]["headers"] = {
        "RequestId": {
            "description": "The request's own X-Request-Id if it had a usable one; the log has it on every line.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        }
    }
    return made


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(by_alias=True, ref_template=_REF)
    for name, part in (schema.pop("$defs", {}) | {model.__name__: schema}).items():
        if schemas.setdefault(name, part) != part:
            raise RuntimeError(f"two different schemas are named {name}; rename one")


def _finish_schema(schema: dict[str, Any]) -> None:
    """What has one value only is always there. Titles made from names say nothing that the names do not."""
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    constants = [name for name, described in properties.items() if "const" in described]
    if constants:
        schema["required"] = sorted({*constants, *schema.get("required", [])})
    for described in (schema, *properties.values()):
        described.pop("title", None)
        if "const" in described:
            described.pop("default", None)


def _finish(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in [status for status, response in responses.items() if _FRAMEWORKS_OWN[0] in json.dumps(response)]:
        del responses[status]
    for response in responses.values():
        response.setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/RequestId"}


def _file_operations(folder: str) -> dict[str, Any]:
    """GET and HEAD of one route; described here because the framework gives both the same operationId."""
    noun = folder.removesuffix("s")
    parameters = [
        {
            "name": "path",
            "in": "path",
            "required": True,
            "description": "The rest of the file's address, as an answer gave it.",
            "schema": {"type": "string"},
        },
        {
            "name": "download",
            "in": "query",
            "required": False,
            "description": "Present, with any value: browsers save the file instead of showing it.",
            "schema": {"type": "string"},
        },
    ]
    media = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    failed = {
        str(status): {key: value for key, value in response.items() if key != "model"}
        for status, response in failures(FileNotFound, StorageUnavailable).items()
    }
    for response in failed.values():
        response["content"]["application/json"]["schema"] = {"$ref": _REF.format(model="Problem")}
    whole = {"description": "The whole file.", "content": media}
    unchanged = {"description": "The copy that If-None-Match or If-Modified-Since names is still right."}
    get = {
        "200": whole,
        "206": {
            "description": "The part, or as multipart/byteranges the parts, that Range asks for.",
            "content": media,
        },
        "304": unchanged,
        "416": {"description": "The file has no byte that Range asks for; Content-Range tells its size."},
    }
    common = {"tags": ["files"], "parameters": parameters}
    return {
        "get": common
        | {
            "operationId": f"get{noun.capitalize()}",
            "summary": f"Fetch an {noun}",
            "description": "Ranges, one or several, If-Range, If-None-Match and If-Modified-Since by RFC 9110.",
            "responses": get | failed,
        },
        "head": common
        | {
            "operationId": f"head{noun.capitalize()}",
            "summary": f"Size, type and ETag of an {noun}",
            "responses": {"200": {"description": "There is such a file."}, "304": unchanged}
            | {status: {"description": response["description"]} for status, response in failed.items()},
        },
    }
