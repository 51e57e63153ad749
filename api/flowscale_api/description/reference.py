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
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 25%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
body { overflow-wrap: anywhere; background: Canvas; color: CanvasText; }
a { color: #0c6b61; }
@media (prefers-color-scheme: dark) { a { color: #6fcdbf; } }
h2 { margin: 2.5rem 0 .5rem; }
section { border-top: 1px solid var(--line); padding: .75rem 0; }
h3 { font: 600 1rem ui-monospace, monospace; margin: 0; }
h3 b { display: inline-block; min-width: 3.5rem; }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 7%, transparent); }
table { border-collapse: collapse; }
td { padding: 0 1rem .25rem 0; vertical-align: top; }
td:first-child { min-width: 5.5rem; max-width: 22rem; }
nav { columns: 20rem; column-gap: 2.5rem; margin: 1.5rem 0; padding: 1rem 0; border-block: 1px solid var(--line); }
nav div { break-inside: avoid; padding-bottom: .75rem; }
nav p, nav ul { margin: 0; padding: 0; list-style: none; }
nav p { font-weight: 600; }
nav li { padding: .125rem 0; font-size: .9375rem; }
@media (max-width: 600px) {
  td { display: block; max-width: none; padding: 0 0 .125rem; }
  td + td { padding: 0 0 .5rem 1rem; }
}
"""

TAGS = {
    "uploads": "Uploads",
    "renders": "Renders",
    "jobs": "Jobs",
    "files": "Files",
    "operation": "Operation",
    "admin": "Administration",
}
"""The page's parts, in their order: the way of a clip first. A test holds them against the document's tags."""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'"
"""The page's Content-Security-Policy: its own style, and nothing else."""


def reference_page(document: dict[str, Any]) -> str:
    """The HTML page for an OpenAPI document."""
    info = document["info"]
    parts = {tag: _with_tag(document, tag) for tag in TAGS}
    contents = "\n".join(_contents(TAGS[tag], operations) for tag, operations in parts.items())
    sections = "\n".join(
        line
        for tag, operations in parts.items()
        for line in (
            f"<h2>{escape(TAGS[tag])}</h2>",
            *(line for operation in operations for line in _section(document, *operation)),
        )
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title>
<style>{STYLE}</style>
<h1>{escape(info["title"])} API {escape(info["version"])}</h1>
<p>{_prose(info["description"])} For tools: <a href="openapi.json">openapi.json</a>.</p>
<nav aria-label="Contents">
{contents}
</nav>
{sections}
</html>
"""


def _with_tag(document: dict[str, Any], tag: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each that has this tag first."""
    return [
        (method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"][0] == tag
    ]


def _contents(title: str, operations: list[tuple[str, str, dict[str, Any]]]) -> str:
    lines = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>'
        for _, _, operation in operations
    )
    return f"<div><p>{escape(title)}</p><ul>{lines}</ul></div>"


def _section(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}">'
    yield f"<h3><b>{method.upper()}</b> {escape(path)}</h3>"
    yield f"<p><strong>{escape(operation['summary'])}.</strong> {_prose(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield _table([(f"{one['name']} ({one['in']})", one.get("description", "")) for one in parameters])
    if schema := _body_schema(operation):
        example = _resolved(document, schema)["examples"][0]
        command = f"curl -H 'Content-Type: application/json' $SERVER{path} -d '{json.dumps(example, indent=2)}'"
        yield f"<p>Body:</p>{_table(list(option_rows(document, schema)))}"
        yield f"<p>For example:</p>{_lines(command)}"
    yield _table([(status, response["description"]) for status, response in operation["responses"].items()])
    if (example := _answer_example(document, operation)) is not None:
        yield f"<p>Answer, for example:</p>{_lines(json.dumps(example, indent=2))}"
    yield "</section>"


def _lines(text: str) -> str:
    """As they are; what is wider than the screen is scrolled, by the keyboard too."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


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
