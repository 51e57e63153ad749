"""Command-line options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

ServerUrl = Annotated[
    str | None, typer.Option("--url", help="A FlowScale server, such as http://127.0.0.1:3000.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
