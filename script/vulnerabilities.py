"""`python -m script.vulnerabilities`: hold the locked packages against a service of known vulnerabilities.

It fails when one is found. What could not be looked up, since no service is in reach or none knows the
package, is said and does not fail: without a network nothing new can be learnt, and nothing has changed.
STRAIGHTLINE_OSV_URL names a service of OSV's kind to ask in place of the public ones.
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
"""As pip-audit calls them; the second one is asked where the first knows nothing."""
SERVICE_TIMEOUT_S: Final = 120.0
"""Seconds for a service to say all it knows."""
_CONNECTION: Final = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ServiceError",
    "ProxyError",
    "SSLError",
)
"""Words of which one stands in what pip-audit says when it cannot reach a service."""


class Vulnerability(msgspec.Struct):
    """One that is known."""

    id: str
    fix_versions: list[str] = []


class Package(msgspec.Struct):
    """A package as pip-audit reports it: looked up, or not and why."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str | None = None


class Report(msgspec.Struct):
    """What pip-audit writes with `--format json`."""

    dependencies: list[Package]


class ServiceUnreachable(Exception):  # noqa: N818 - it says what the service is
    """The service could not be asked."""


def parse_output(status: int, output: str, errors: str) -> Report:
    """Read what pip-audit left.

    Raises:
        Unreachable: it could not ask the service.
        ValueError: it failed in another way, and the message says how.
    """
    if status in (0, 1) and output.strip():
        return msgspec.json.decode(output, type=Report)
    last = (errors.strip().splitlines() or ["it said nothing"])[-1]
    if any(word in errors for word in _CONNECTION):
        raise ServiceUnreachable(last)
    raise ValueError(f"pip-audit failed: {last}")


def summarize(report: Report) -> tuple[int, list[str]]:
    """Return the exit status and what to say."""
    found = [
        f"VULNERABLE: {package.name} {package.version}: {known.id}; "
        f"mended in {', '.join(known.fix_versions) or 'no version'}"
        for package in report.dependencies
        for known in package.vulns
    ]
    missed = [package.name for package in report.dependencies if package.skip_reason is not None]
    looked_up = len(report.dependencies) - len(missed)
    lines = [*found, f"{looked_up} packages looked up, {len(found)} known vulnerabilities."]
    if missed:
        lines.append(
            f"NOT LOOKED UP, since the service does not know them: {', '.join(sorted(set(missed)))}."
        )
    return (1 if found else 0), lines


def query(service: Sequence[str]) -> Report:
    """Ask one service, its name and options, of all packages; raises as `read`."""
    lists = [option for name in LISTS for option in ("--requirement", str(ROOT / "requirements" / name))]
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", *service, "--timeout", "10"]
    command += ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", *lists]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SERVICE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ServiceUnreachable(f"{service[0]} did not answer within {SERVICE_TIMEOUT_S:g} s") from error
    return parse_output(done.returncode, done.stdout, done.stderr)


def main() -> int:
    """Run the audit; 0 where nothing was found, 1 where something was, or where it failed by itself."""
    own = os.environ.get("STRAIGHTLINE_OSV_URL")
    reasons = []
    for service in (("osv", "--osv-url", own),) if own else SERVICES:
        try:
            report = query(service)
        except ServiceUnreachable as why:
            reasons.append(f"{service[0]}: {why}")
            continue
        except (ValueError, msgspec.MsgspecError) as error:
            print(f"{service[0]}: {error}")
            return 1
        if all(package.skip_reason is not None for package in report.dependencies):
            reasons.append(f"{service[0]}: it knows none of the packages")
            continue
        status, lines = summarize(report)
        print("\n".join(lines))
        return status
    print("NOT AUDITED: no service of known vulnerabilities is in reach. This says nothing of the packages.")
    print("\n".join(f"  {reason[:300]}" for reason in reasons))
    return 0


if __name__ == "__main__":
    sys.exit(main())
