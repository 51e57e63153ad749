"""How long the ends of processes wait for a collector."""

from __future__ import annotations

import os

from flowscale.tracing.patience import AWAY_SECONDS, WAIT_SECONDS, Patience


def test_one_wait_in_vain_spares_all_for_a_while() -> None:
    patience = Patience()
    assert patience.seconds(100.0) == WAIT_SECONDS
    patience.learn(100.0, WAIT_SECONDS, took=False)
    assert patience.seconds(100.0 + AWAY_SECONDS - 0.1) == 0
    patience.learn(130.0, 0, took=False)  # nobody waited: nothing was learned
    assert patience.seconds(100.0 + AWAY_SECONDS) == WAIT_SECONDS


def test_a_collector_that_took_something_is_there() -> None:
    patience = Patience()
    patience.learn(100.0, WAIT_SECONDS, took=False)
    patience.learn(101.0, 0, took=True)
    assert patience.seconds(102.0) == WAIT_SECONDS


def test_what_a_forked_process_learned_all_know() -> None:
    patience = Patience()
    pid = os.fork()
    if pid == 0:
        patience.learn(100.0, WAIT_SECONDS, took=False)
        os._exit(0)
    os.waitpid(pid, 0)
    assert patience.seconds(101.0) == 0
