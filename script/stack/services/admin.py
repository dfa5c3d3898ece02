"""Administration of a broker under test, whether it is private or another's."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from script.support.errors import StackError


@dataclass(frozen=True)
class BrokerAdmin:
    """A node under test.

    Attributes:
        url: AMQP URL of one of its virtual hosts.
        run_ctl: runs its rabbitmqctl.
    """

    url: str
    run_ctl: Callable[..., str]

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run `rabbitmqctl ARGUMENTS` there and return what it prints.

        Raises:
            StackError: it failed.
        """
        return self.run_ctl(*arguments, stdin=stdin)


def system_ctl(*arguments: str, stdin: str = "") -> str:
    """Run the `rabbitmqctl` that the path gives.

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
