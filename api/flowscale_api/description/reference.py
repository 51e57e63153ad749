"""The API reference as one page, made from the OpenAPI document: no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

from flowscale_api.description.options import option_rows

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .75rem 0; }
h2 { font: 600 1rem ui-monospace, monospace; margin: 0; overflow-wrap: anywhere; }
h2 b { display: inline-block; min-width: 3.5rem; }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 7%, transparent); }
td { padding: 0 1rem .25rem 0; vertical-align: top; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'"
"""The page's Content-Security-Policy: its own style, and nothing else."""


def reference_page(document: dict[str, Any]) -> str:
    """The HTML page for an OpenAPI document."""
    info = document["info"]
    sections = "\n".join(
        section
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for section in _section(document, method, path, operation)
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title>
<style>{STYLE}</style>
<h1>{escape(info["title"])} API {escape(info["version"])}</h1>
<p>{_prose(info["description"])} For tools: <a href="openapi.json">openapi.json</a>.</p>
{sections}
</html>
"""


def _section(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}">'
    yield f"<h2><b>{method.upper()}</b> {escape(path)}</h2>"
    yield f"<p><strong>{escape(operation['summary'])}.</strong> {_prose(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield _table([(f"{one['name']} ({one['in']})", one.get("description", "")) for one in parameters])
    if schema := _body_schema(operation):
        example = _resolved(document, schema)["examples"][0]
        command = f"curl -H 'Content-Type: application/json' $SERVER{path} -d '{json.dumps(example, indent=2)}'"
        yield f"<p>Body:</p>{_table(list(option_rows(document, schema)))}"
        yield f"<p>For example:</p><pre>{escape(command)}</pre>"
    yield _table([(status, response["description"]) for status, response in operation["responses"].items()])
    if (example := _answer_example(document, operation)) is not None:
        yield f"<p>Answer, for example:</p><pre>{escape(json.dumps(example, indent=2))}</pre>"
    yield "</section>"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{_prose(text)}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>"


def _prose(text: str) -> str:
    """Text with `code` in it."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return content["schema"] if content else None


def _answer_example(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    success: dict[str, Any] = next(
        (one for status, one in operation["responses"].items() if status.startswith("2")), {}
    )
    content = success.get("content", {}).get("application/json")
    return _resolved(document, content["schema"]).get("example") if content else None


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found
