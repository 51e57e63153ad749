"""The pages for people name what exists: files, headings, settings, targets, values of the chart, metrics, alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from flowscale import errors
from flowscale.settings import groups
from unit.pages import ROOT, Page, anchor_of, pages

PAGES = {page.name: page for page in pages()}
GUIDES = ("docs/install.md", "docs/upgrade.md", "docs/runbook.md")
CHART = ROOT / "charts" / "flowscale"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

OTHER_NAMES = {
    "GATEWAY_FULL",  # an answer of the gateway that is no error of the core
    "PR_SET_PDEATHSIG",
    "RQ_KEY_PREFIX",
    "THE_JOB_ID",
    "TESTS_AT_ONCE",  # of the Makefile
    "UV_LINK_MODE",
    "UV_PROJECT_ENVIRONMENT",
    "KIND_NODE_IMAGE",
    "OTEL_BSP_SCHEDULE_DELAY",  # these two are read by OpenTelemetry's SDK alone
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "REDISCLI_AUTH",
    "ADMIN_PASSWORD",  # in the pod of the bundled server
}
"""Names in capitals that are neither a setting nor the code of an error: of other programs, or to be replaced."""

OTHER_PATHS = re.compile(r"(spec|status|metadata|data)\.|.*\.(md|py|yaml|yml|json|toml|io|com|dev|org|env|lua)(/|$)")
"""Words with dots in them that are no values of the chart: fields of objects, files, hosts."""

LINE_OF_ALERT = re.compile(r"^\s*-?\s*alert:\s*(\w+)\s*$", re.MULTILINE)
METRIC = re.compile(r"\bflowscale_(?!api\b|worker\b(?!_)|cli\b|operator\b(?!_))[a-z0-9_]+\b")


def codes() -> set[str]:
    return {
        str(kind.code)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FlowScaleError) and hasattr(kind, "code")
    }


def has_value(path: str) -> bool:
    """Whether values.yaml has it, or a place for anything (an empty map or list, or null) above it."""
    here: Any = VALUES
    for part in path.split("."):
        if not isinstance(here, Mapping):
            return here is None or here == []
        if part not in here:
            return not here
        here = here[part]
    return True


def value_paths(tree: Any, above: str = "") -> Iterator[str]:
    """The leaves of a values file."""
    if isinstance(tree, Mapping) and tree:
        for key, below in tree.items():
            yield from value_paths(below, f"{above}.{key}" if above else str(key))
    else:
        yield above


def named_values(page: Page) -> Iterator[str]:
    """In backticks with a dot, in --set of a command, and in YAML that is no object of Kubernetes."""
    for span in page.spans:
        path = span.partition(":")[0].partition("=")[0]
        if re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)+", path) and not OTHER_PATHS.match(path):
            yield path
    for _, text in page.blocks:
        for settings in re.findall(r"--set(?:-string|-file)?[ =]([^\s\\]+)", text):
            yield from (part.partition("=")[0] for part in settings.split(","))
    for tree in page.yaml:
        if isinstance(tree, Mapping) and "apiVersion" not in tree:
            yield from value_paths(tree)


def alerts() -> list[str]:
    """Of the chart's rules."""
    return [
        name
        for file in sorted((CHART / "files" / "alerts").glob("*.yaml"))
        for name in LINE_OF_ALERT.findall(file.read_text())
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    page, lost = PAGES[name], []
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue  # another site
        path, _, anchor = unquote(link).partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in Page(target).anchors):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("name", PAGES)
def test_every_name_in_capitals_is_a_setting_or_an_error(name: str) -> None:
    known = {str(field.alias) for group in groups().values() for field in group.model_fields.values()}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", PAGES[name].text))
    assert named - known - codes() - OTHER_NAMES == set()


@pytest.mark.parametrize("name", PAGES)
def test_every_target_of_make_is_in_the_makefile(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for code in PAGES[name].code for found in re.findall(r"(?:^|[\s=0-9])make ([a-z][a-z0-9-]*)", code)}
    assert named - targets == set()


@pytest.mark.parametrize("name", PAGES)
def test_every_metric_is_one_that_a_program_shows(name: str) -> None:
    sources = "".join(
        file.read_text() for folder in ("core", "api", "worker", "operator") for file in (ROOT / folder).rglob("*.py")
    )
    named = {re.sub(r"_(total|bucket|sum|count)$", "", metric) for metric in METRIC.findall(PAGES[name].text)}
    assert {metric for metric in named if f'"{metric}"' not in sources} == set()


@pytest.mark.parametrize("name", GUIDES)
def test_every_value_is_in_the_chart(name: str) -> None:
    named = set(named_values(PAGES[name]))
    assert {path for path in named if not has_value(path)} == set()
    assert named or name != "docs/install.md", "no value was found on a page that is full of them"


def test_every_alert_has_its_section_in_the_runbook_and_every_such_section_its_alert() -> None:
    told = [heading for heading in PAGES["docs/runbook.md"].headings(3) if heading.startswith("FlowScale")]
    assert sorted(told) == sorted(alerts())
    assert told, "the chart has no alert"


def test_alerts_lead_to_their_sections() -> None:
    """The templates make the anchor from the name in lower case."""
    assert {anchor_of(alert) for alert in alerts()} <= PAGES["docs/runbook.md"].anchors


def test_a_page_is_read_as_github_reads_it(tmp_path: Any) -> None:
    page = Page(tmp_path / "page.md")
    page.path.write_text(
        "# A `b` & [c](d.md)\n\n## Same\n\n## Same\n\n[x](y.md#z) `[no](link)` and ``a `b` c``\n\n"
        "    make test\n    # no heading\n\n```yaml\na: {b: 1}\n# no heading [no](link)\n```\n"
    )
    assert page.anchors == {"a-b--c", "same", "same-1"}
    assert list(page.links) == ["d.md", "y.md#z"]
    assert "a `b` c" in page.spans
    assert any("make test" in code for code in page.code)
    assert list(page.yaml) == [{"a": {"b": 1}}]
