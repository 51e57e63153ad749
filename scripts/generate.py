"""Write the files that are made from code, or with --check say which are out of date.

docs/configuration.md       from flowscale.settings
deploy/prometheus           from the chart's alerts
docs/metrics.md             from the figures that gateway and operator show
tests/golden/openapi.json   from flowscale_api
charts/flowscale, manifests from the chart's values.yaml and templates (chart_files.py says which)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from alert_rules import one_machine_alerts
from chart_files import chart_files, install_manifest, leftovers
from flowscale.settings import Group, groups
from flowscale_api import openapi_json
from metrics_page import metrics_page

ROOT = Path(__file__).resolve().parents[1]

HEAD = """# Configuration

Generated from `core/flowscale/settings/` by `make generate`; edit the descriptions there.

Every setting is an environment variable, read once at start. Names without `FLOWSCALE_` come from the service
FlowScale replaces. A value that cannot be used, or a `FLOWSCALE_*` name that does not exist, stops the program with
a line for each that says which and why. An empty value counts as unset.
"""

TAIL = """
## Behind a proxy

The links in answers (`publicUrl`, `outputUrl`) are made from the address a request came to: the `Host` header, and the
scheme of `X-Forwarded-Proto` where the proxy is among `FLOWSCALE_TRUSTED_PROXIES`. Set `FLOWSCALE_PUBLIC_URL` where
that is not what browsers use.
"""


def configuration() -> str:
    """The page of settings, a table for each group."""
    return HEAD + "".join(_section(group) for group in groups().values()) + TAIL


def _section(group: type[Group]) -> str:
    rows = "\n".join(_rows(group))
    title, _, more = inspect.cleandoc(group.__doc__ or "").partition(". ")
    story = f"{more}\n\n" if more else ""
    return f"\n## {title.rstrip('.')}\n\n{story}| name | default | meaning |\n| --- | --- | --- |\n{rows}\n"


def _rows(group: type[Group]) -> Iterator[str]:
    for field in group.model_fields.values():
        yield f"| `{field.alias}` | {_shown(field.default)} | {field.description} |"


def _shown(default: object) -> str:
    if default in (None, ()):
        return "-"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def main(check: bool) -> int:
    """Write or compare; the exit code."""
    made = {
        "docs/configuration.md": configuration(),
        "deploy/prometheus/alerts.yaml": one_machine_alerts(ROOT),
        "docs/metrics.md": metrics_page(),
        "tests/golden/openapi.json": openapi_json(),
        **chart_files(ROOT),
    }
    stale = _settle(made, leftovers(ROOT), check)
    # Last, because Helm reads some of the others.
    stale += _settle({"manifests/install.yaml": install_manifest(ROOT)}, [], check)
    return 1 if stale and check else 0


def _settle(files: Mapping[str, str], leftover: list[str], check: bool) -> list[str]:
    """Write what differs and remove what is left over, or only say so; the names of both."""
    stale = [name for name, text in files.items() if not (ROOT / name).is_file() or (ROOT / name).read_text() != text]
    for name in [*stale, *leftover]:
        if check:
            print(f"{name} is out of date: run `make generate` and read the difference", file=sys.stderr)
        elif name in files:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(files[name])
            print(f"wrote {name}")
        else:
            (ROOT / name).unlink()
            print(f"removed {name}, whose original is gone")
    return [*stale, *leftover]


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
