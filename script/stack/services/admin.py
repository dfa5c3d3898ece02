"""Administration of a broker under test, private or given."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from script.support.errors import StackError


@dataclass(frozen=True)
class BrokerAdmin:
    """Administration of one node.

    Attributes:
        url: AMQP URL of one of its virtual hosts.
        run_ctl: runs the node's rabbitmqctl.
    """

    url: str
    run_ctl: Callable[..., str]

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run `rabbitmqctl ARGUMENTS` on the node and return its output.

        Raises:
            StackError: it failed.
        """
        return self.run_ctl(*arguments, stdin=stdin)


def system_ctl(*arguments: str, stdin: str = "") -> str:
    """Run the `rabbitmqctl` found on PATH and return its output.

    Raises:
        StackError: it failed.
    """
    done = subprocess.run(
        ["rabbitmqctl", "--quiet", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"rabbitmqctl {arguments[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
