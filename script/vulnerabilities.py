"""`python -m script.vulnerabilities`: audit of the locked packages for known vulnerabilities.

A vulnerability fails the audit. Packages that could not be looked up are reported but do not fail it, so that
it works without a network. STRAIGHTLINE_OSV_URL names an OSV-compatible service to use instead of the public
ones.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent
LISTS: Final = ("app.txt", "serve.txt", "dev.txt")
SERVICES: Final = (("pypi",), ("osv",))
"""Names that pip-audit uses; the second is queried if the first fails."""
SERVICE_TIMEOUT_S: Final = 120.0
"""Time limit of one service for all packages."""
_CONNECTION: Final = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ServiceError",
    "ProxyError",
    "SSLError",
)
"""One of these words is in pip-audit's output if it cannot reach a service."""


class Vulnerability(msgspec.Struct):
    """A known vulnerability."""

    id: str
    fix_versions: list[str] = []


class Package(msgspec.Struct):
    """A package in pip-audit's report; `skip_reason` is set if it was not looked up."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str | None = None


class Report(msgspec.Struct):
    """Report of pip-audit in JSON."""

    dependencies: list[Package]


class ServiceUnreachable(Exception):  # noqa: N818 - a state, not a failure
    """The service cannot be reached."""


def parse_output(status: int, output: str, errors: str) -> Report:
    """Parse the result of pip-audit.

    Raises:
        ServiceUnreachable: pip-audit could not reach the service.
        ValueError: pip-audit failed in another way.
    """
    if status in (0, 1) and output.strip():
        return msgspec.json.decode(output, type=Report)
    last = (errors.strip().splitlines() or ["no output"])[-1]
    if any(word in errors for word in _CONNECTION):
        raise ServiceUnreachable(last)
    raise ValueError(f"pip-audit failed: {last}")


def summarize(report: Report) -> tuple[int, list[str]]:
    """Return the exit status and the lines to print."""
    found = [
        f"VULNERABLE: {package.name} {package.version}: {known.id}; "
        f"fixed in {', '.join(known.fix_versions) or 'no version'}"
        for package in report.dependencies
        for known in package.vulns
    ]
    missed = [package.name for package in report.dependencies if package.skip_reason is not None]
    looked_up = len(report.dependencies) - len(missed)
    lines = [*found, f"{looked_up} packages looked up, {len(found)} known vulnerabilities."]
    if missed:
        lines.append(f"NOT LOOKED UP, unknown to the service: {', '.join(sorted(set(missed)))}.")
    return (1 if found else 0), lines


def query(service: Sequence[str]) -> Report:
    """Query one service, given by its name and options, for all packages; raises as `parse_output`."""
    lists = [option for name in LISTS for option in ("--requirement", str(ROOT / "requirements" / name))]
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", *service, "--timeout", "10"]
    command += ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", *lists]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SERVICE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ServiceUnreachable(f"{service[0]} did not answer within {SERVICE_TIMEOUT_S:g} s") from error
    return parse_output(done.returncode, done.stdout, done.stderr)


def main() -> int:
    """Run the audit; return 1 if it found a vulnerability or failed, 0 otherwise."""
    own = os.environ.get("STRAIGHTLINE_OSV_URL")
    reasons = []
    for service in (("osv", "--osv-url", own),) if own else SERVICES:
        try:
            report = query(service)
        except ServiceUnreachable as error:
            reasons.append(f"{service[0]}: {error}")
            continue
        except (ValueError, msgspec.MsgspecError) as error:
            print(f"{service[0]}: {error}")
            return 1
        if all(package.skip_reason is not None for package in report.dependencies):
            reasons.append(f"{service[0]}: knows none of the packages")
            continue
        status, lines = summarize(report)
        print("\n".join(lines))
        return status
    print("NOT AUDITED: no vulnerability service is reachable. The packages may have vulnerabilities.")
    print("\n".join(f"  {reason[:300]}" for reason in reasons))
    return 0


if __name__ == "__main__":
    sys.exit(main())
