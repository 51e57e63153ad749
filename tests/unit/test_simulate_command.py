"""`flowscale simulate`: the traces it reads, what it prints, and what it says of a trace that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flowscale.errors import InvalidOptions
from flowscale.scaling.simulation import Arrival
from flowscale_cli.charts import chart, columns
from flowscale_cli.main import app
from flowscale_cli.traces import read_trace


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def test_a_trace_may_be_csv_or_json_lines(trace: Path) -> None:
    expected = [Arrival(1_500, 20_000, "a"), Arrival(0, 7_000, "")]
    trace.write_text("\n kind , at_seconds,render_seconds,more\r\na,1700000001.5,20,x\r\n\r\n,1700000000,7,\r\n")
    assert read_trace(trace) == expected
    lines = [{"at_seconds": 11.5, "render_seconds": 20, "kind": "a"}, {"render_seconds": "7", "at_seconds": 10}]
    trace.write_text("\ufeff" + "\n\n".join(map(json.dumps, lines)))
    assert read_trace(trace) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no job"),
        ("at_seconds,render_seconds\n", "holds no job"),
        ("at_seconds,render_seconds\n1,2\n1,soon\n", "line 3: render_seconds is to be a number of seconds, not 'soon'"),
        ("at,render\n1,2\n", "line 2: at_seconds is to be a number of seconds, not None"),
        ("at_seconds,render_seconds\n-1,2\n", "line 2: at_seconds is to be a number of seconds from 0"),
        ("at_seconds,render_seconds\n1,nan\n", "line 2: render_seconds is to be a number of seconds from 0"),
        ("at_seconds,render_seconds\n1,99999999\n", "line 2: render_seconds is more than"),
        ("at_seconds,render_seconds\n1,1\n99999999,1\n", "more than a year"),
        ('{"at_seconds": 1, "render_seconds": 1}\n[1]', "line 2: it is no JSON object"),
        ('{"at_seconds": 1, "render_seconds": []}', "line 1: render_seconds is to be a number"),
    ],
)
def test_what_is_no_trace_is_refused_by_its_line(trace: Path, text: str, said: str) -> None:
    trace.write_text(text)
    with pytest.raises(InvalidOptions) as refused:
        read_trace(trace)
    assert said in refused.value.message


def test_json_tells_all_of_it(trace: Path) -> None:
    trace.write_text("at_seconds,render_seconds\n0,30\n0,30\n")
    result = CliRunner().invoke(app, ["simulate", "--trace", str(trace), "--start", "5", "--idle", "20", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["jobs"], told["renderMs"], told["workerMs"]) == (2, 60_000, 110_000)
    assert told["waitMs"] == {"mean": 5_000, "p50": 5_000, "p95": 5_000, "max": 5_000}
    assert told["policy"]["idleMs"] == 20_000
    changes = [(change["atMs"], change["from"], change["to"], change["reason"]) for change in told["changes"]]
    assert changes == [(0, 0, 2, "QueueDepth"), (55_000, 2, 0, "Idle")]
    assert told["moments"][0] == {"atMs": 0, "waiting": 2, "busy": 0, "workers": 2}


def test_many_changes_are_told_in_part(trace: Path) -> None:
    rows = "".join(f"{100 * number},1\n" for number in range(20))
    trace.write_text(f"at_seconds,render_seconds\n{rows}")
    result = CliRunner().invoke(app, ["simulate", "--trace", str(trace)])
    assert "and 10 more; --json tells all of them" in result.stdout


@pytest.mark.parametrize("wrong", [["--max", "0"], ["--jobs-per-worker", "1", "--max-wait", "5"], ["--idle", "-1"]])
def test_a_policy_that_cannot_be_is_refused(trace: Path, wrong: list[str]) -> None:
    trace.write_text("at_seconds,render_seconds\n0,1\n")
    result = CliRunner().invoke(app, ["simulate", "--trace", str(trace), *wrong])
    assert isinstance(result.exception, InvalidOptions)
    assert "No such policy can be" in result.exception.message


def test_a_column_shows_the_highest_of_its_time() -> None:
    assert columns([(0, 1), (10, 5), (11, 0), (30, 2)], 40, 4) == [1, 5, 0, 2]
    assert columns([(0, 3)], 0, 4) == [3, 0, 0, 0]


def test_a_chart_shows_little_where_there_is_little() -> None:
    assert chart("jobs", [0, 1, 100, 50], 2) == ["jobs", "100 │  █", "    │ ▁██", "  0 └────"]
    assert chart("jobs", [0, 0], 1) == ["jobs", "1 │", "0 └──"]
