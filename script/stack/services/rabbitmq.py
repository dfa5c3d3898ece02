"""Private RabbitMQ: its own node, ports, data, log, plugins, cookie and users, apart from the system's."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from broker_config.definitions import definitions, hashed
from broker_config.users import USER_PREFIX, USERS
from script.stack.services.access import Access
from script.stack.services.certificates import Certificate
from script.stack.services.ports import free_ports
from script.support import processes
from script.support.accounts import Account, account
from script.support.errors import StackError
from script.support.processes import Process

NAME: Final = "RabbitMQ"
VHOST: Final = "straightline"
ADMIN: Final = "straightline"
_PLACES: Final = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin", "/usr/sbin")


@dataclass(frozen=True)
class Broker:
    """A started RabbitMQ.

    Attributes:
        access: AMQP URLs, with user, password and virtual host.
        tls_port: port of the TLS listener; used only with a certificate.
        management_port: port of the HTTP API; used only with `management`.
        programs: directory of the command line tools.
        environment: variables with which the tools find this node.
        owner: account that it runs under.
        home: its directory.
        processes: port mapper and node, in order of start.
        launch: restarts a stopped node on the same data.
    """

    access: Access
    tls_port: int
    management_port: int
    programs: Path
    environment: Mapping[str, str]
    owner: Account
    home: Path
    processes: tuple[processes.Process, ...]
    launch: Callable[[], Process]

    @property
    def url(self) -> str:
        """URL of the administrator."""
        return self.access.admin

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run `rabbitmqctl` on this node and return its output.

        Raises:
            StackError: it failed; the message has its output.
        """
        other = self.owner if self.owner.switch else None
        done = subprocess.run(
            [str(self.programs / "rabbitmqctl"), "--quiet", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=self.home,
            env=dict(self.environment),
            user=other.uid if other else None,
            group=other.gid if other else None,
            extra_groups=[] if other else None,
        )
        if done.returncode != 0:
            raise StackError(f"rabbitmqctl {arguments[0]} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout


def programs() -> Path | None:
    """Return the directory of RabbitMQ's own programs; Debian's wrappers work only with the system's node."""
    for place in _PLACES:
        if os.access(f"{place}/rabbitmq-server", os.X_OK):
            return Path(place)
    return None


def start(
    home: Path,
    log: Path,
    run: str,
    certificate: Certificate | None = None,
    *,
    management: bool = False,
    also: Sequence[str] = (),
) -> Broker:
    """Start a node with its data in `home`/rabbitmq, without waiting until it is ready.

    Args:
        home: directory for the node's own.
        log: file of its output.
        run: name of the run.
        certificate: adds a TLS listener on `Broker.tls_port`.
        management: adds the HTTP API on `Broker.management_port`.
        also: addresses to listen on besides the loopback interface.

    Raises:
        StackError: RabbitMQ is not installed or cannot be started.
    """
    found, mapper = programs(), shutil.which("epmd", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if found is None or mapper is None:
        raise StackError("RabbitMQ is not installed. As root: apt-get install rabbitmq-server")
    owner = account("rabbitmq")
    directory = home / "rabbitmq"
    port, tls_port, management_port, distribution, mapping = free_ports(5)
    passwords = {user: secrets.token_urlsafe(24) for user in (ADMIN, *USERS)}
    _write(directory, port, passwords, also)
    if certificate is not None:
        with (directory / "rabbitmq.conf").open("a", encoding="ascii") as configuration:
            configuration.write(_tls(certificate.copied(directory), tls_port))
    if management:
        (directory / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="ascii")
        with (directory / "rabbitmq.conf").open("a", encoding="ascii") as configuration:
            configuration.write(f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management_port}\n")
    owner.give(directory)
    environment = _environment(directory, run, distribution, mapping)
    # Started by us: a port mapper started by the node would outlive it.
    epmd = processes.start(
        "epmd",
        [mapper, "-port", str(mapping), "-address", "127.0.0.1"],
        log=log.with_name("epmd.log"),
        cwd=directory,
        environment=environment,
        account=owner,
        tier=3,
    )
    launch = partial(
        processes.start,
        NAME,
        [str(found / "rabbitmq-server")],
        log=log,
        cwd=directory,
        environment=environment,
        account=owner,
        tier=2,
    )
    return Broker(
        _access(port, passwords),
        tls_port,
        management_port,
        found,
        environment,
        owner,
        directory,
        (epmd, launch()),
        launch,
    )


def _access(port: int, passwords: Mapping[str, str]) -> Access:
    def url(name: str, password: str) -> str:
        return f"amqp://{name}:{password}@127.0.0.1:{port}/{VHOST}"

    users = {user: url(USER_PREFIX + user, passwords[user]) for user in USERS}
    return Access(url(ADMIN, passwords[ADMIN]), users)


def _write(directory: Path, port: int, passwords: Mapping[str, str], also: Sequence[str]) -> None:
    directory.mkdir(mode=0o700)
    for name, text in {
        "rabbitmq.conf": _configuration(directory, port, also),
        "definitions.json": _definitions(passwords),
        "enabled_plugins": "[].\n",
        "environment.conf": "",
        ".erlang.cookie": secrets.token_hex(20),
    }.items():
        file = directory / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="ascii")
    (directory / ".erlang.cookie").chmod(0o400)


def _definitions(passwords: Mapping[str, str]) -> str:
    """Return the definitions to import at start, with which it creates no user `guest` and no vhost `/`."""
    made = definitions({user: passwords[user] for user in USERS}, [VHOST])
    made["vhosts"] = [{"name": VHOST}]
    made["users"].append({"name": ADMIN, "tags": "administrator", **hashed(passwords[ADMIN])})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    made["permissions"].append({"user": ADMIN, "vhost": VHOST, **everything})
    return json.dumps(made)


def _configuration(directory: Path, port: int, also: Sequence[str]) -> str:
    return "\n".join(
        (
            f"listeners.tcp.local = 127.0.0.1:{port}",
            *(f"listeners.tcp.also{number} = {address}:{port}" for number, address in enumerate(also)),
            f"load_definitions = {directory / 'definitions.json'}",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
            # For small machines: the memory alarm comes late, and a low disk limit does not block producers,
            # since a temporary node uses little disk.
            "disk_free_limit.absolute = 200MB",
            "vm_memory_high_watermark.relative = 0.4",
            # Quorum queues keep their journal in memory: 512 MiB by default.
            "raft.wal_max_size_bytes = 134217728",
            "",
        )
    )


def _tls(certificate: Certificate, port: int) -> str:
    return "\n".join(
        (
            f"listeners.ssl.local = 127.0.0.1:{port}",
            f"ssl_options.cacertfile = {certificate.authority}",
            f"ssl_options.certfile = {certificate.certificate}",
            f"ssl_options.keyfile = {certificate.key}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
            "",
        )
    )


def _environment(directory: Path, run: str, distribution: int, mapping: int) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        processes.RUN_VARIABLE: run,
        "ERL_EPMD_PORT": str(mapping),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"straightline-{run}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # The system's environment file would set the system's node name again.
        "RABBITMQ_CONF_ENV_FILE": str(directory / "environment.conf"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
    }
