"""Known vulnerabilities of the packages listed on standard input, a line `name==version` each.

    printf 'idna==3.15\\n' | python scripts/audit.py NAME

NAME says in the report whose packages they are. Exit codes: 0 when nothing was found; 1 for findings; with
AUDIT_STRICT=1 also 2 when packages could not be looked up. pip-audit itself calls a package that its service does not
answer for skipped, and ends well: here it is said, so that no audit without a network passes for a clean one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
OURS = "flowscale"  # not on PyPI


def look_up(requirements: Sequence[str]) -> Mapping[str, Any] | None:
    """What pip-audit reports (its JSON format), or None when it got no answer at all."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(requirements))
        file.flush()
        command = [str(PIP_AUDIT), "--requirement", file.name, "--no-deps", "--disable-pip", "--format", "json"]
        ended = subprocess.run(
            [*command, "--progress-spinner", "off", "--timeout", "15"], capture_output=True, text=True, check=False
        )
    if not ended.stdout.strip():
        print(ended.stderr.strip(), file=sys.stderr)
        return None
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def main(whose: str, lines: Sequence[str]) -> int:
    requirements = [line.strip() for line in lines if line.strip() and not line.startswith(f"{OURS}==")]
    report = look_up(requirements)
    found = report["dependencies"] if report else []
    faults = [(package, fault) for package in found for fault in package.get("vulns", [])]
    looked_up = [package for package in found if "skip_reason" not in package]
    for package, fault in faults:
        mended = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{whose}: {package['name']} {package['version']} has {fault['id']}; mended in {mended}")
    print(f"{whose}: {len(requirements)} packages, {len(looked_up)} looked up, {len(faults)} known vulnerabilities")
    unanswered = len(requirements) - len(looked_up)
    if unanswered:
        print(
            f"{whose}: NOT AUDITED: {unanswered} packages. The service for known vulnerabilities gave no answer for "
            "them; run the audit again where PyPI can be reached.",
            file=sys.stderr,
        )
    if faults:
        return 1
    return 2 if unanswered and os.environ.get("AUDIT_STRICT") == "1" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.readlines()))
