"""A bucket that fails three in ten requests for a minute, and one that is gone for ten minutes when an output is made.
Run by `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration import unsteady_storage as scenes


def test_a_minute_of_faults(tmp_path: Path) -> None:
    print(scenes.three_in_ten_requests_fail(tmp_path, seconds=60))


@pytest.mark.parametrize("silent", [False, True], ids=["refusing", "silent"])
def test_ten_minutes_without_the_bucket(tmp_path: Path, silent: bool) -> None:
    print(scenes.gone_when_the_output_is_made(tmp_path, 600, silent=silent))
