"""Whether a process may take silent workers for dead. Pure.

After an outage of the server every lease has run out, though every worker is alive and about to renew. So leases are
reaped only by a process that has been in unbroken contact with one and the same server for a whole lease: whoever
lives has renewed within that time.
"""

from __future__ import annotations

DRIFT_MS = 2_000
"""How far the server's Unix clock may move against our monotonic one between two looks. More is a clock set anew or a
machine that slept: leases, which are counted on the server's clock, mean nothing until they were renewed."""


class Contact:
    """What one process knows of its contact with the server. `lease_ms`: how long contact must have lasted."""

    def __init__(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        self._since: float | None = None  # monotonic seconds
        self._last: tuple[float, int, str] | None = None

    def seen(self, monotonic: float, server_ms: int, run_id: str) -> bool:
        """Note an answer of the server; whether leases may be reaped now.

        `run_id` changes when the server restarts ("" where it is not told). A gap of more than a lease between two
        answers is a break too: this process itself may have been frozen, together with the server.
        """
        last, self._last = self._last, (monotonic, server_ms, run_id)
        if last is None or self._since is None or run_id != last[2] or self._broken(last, monotonic, server_ms):
            self._since = monotonic
        return (monotonic - self._since) * 1000 >= self._lease_ms

    def lost(self) -> None:
        """The server did not answer."""
        self._since = None

    def _broken(self, last: tuple[float, int, str], monotonic: float, server_ms: int) -> bool:
        passed_ms = (monotonic - last[0]) * 1000
        return passed_ms > self._lease_ms or abs(server_ms - last[1] - passed_ms) > DRIFT_MS
