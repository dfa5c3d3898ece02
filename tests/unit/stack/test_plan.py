"""Commands and variables of a stack's processes and users."""

import shlex
import socket
import subprocess
from pathlib import Path

from broker_config import users
from outcomes.schema.roles import GRANTS
from script.stack.processes.components import components
from script.stack.processes.plan import Plan, Thresholds, with_ports
from script.stack.services.access import Access
from script.stack.services.ports import free_ports

ROLES = {name: f"postgresql://{name}:secret@127.0.0.1:2/ledger" for name in GRANTS}
USERS = {name: f"amqp://{name}:secret@127.0.0.1:1/vhost" for name in users.USERS}
PLAN = Plan(
    root=Path("/checkout"),
    run="abc",
    directory=Path("/checkout/.straightline/runs/abc"),
    models=Path("/models"),
    broker=Access("amqp://user:secret@127.0.0.1:1/vhost", USERS),
    database=Access("postgresql+psycopg2://user:secret@127.0.0.1:2/ledger", ROLES),
    driver="process",
    thresholds=Thresholds(F=10.0, window=2.0, D=65_536),
    local_port=3,
    functions_port=4,
    flower_port=5,
)


def test_public_variables_have_all_addresses() -> None:
    public = PLAN.public()
    assert public["STRAIGHTLINE_BROKER_URL"] == USERS["producer"]
    assert public["STRAIGHTLINE_CELERY_BROKER_URL"] == USERS["celery-producer"]
    assert public["STRAIGHTLINE_DATABASE_URL"] == ROLES["reader"]
    assert public["STRAIGHTLINE_DEPLOY_BROKER_URL"] == USERS["deployer"]
    assert public["STRAIGHTLINE_DEPLOY_DATABASE_URL"] == ROLES["deployer"]
    assert public["STRAIGHTLINE_FLOWER_URL"].endswith("@127.0.0.1:5")
    assert public["AWS_ENDPOINT_URL_LAMBDA"] == "http://127.0.0.1:4"


def test_webhook_hosts_are_this_machine_unless_the_caller_sets_them() -> None:
    name = "STRAIGHTLINE_WEBHOOK_HOSTS"
    assert PLAN.environment({})[name] == "127.0.0.1,localhost"
    assert PLAN.environment({name: "hooks.example"})[name] == "hooks.example"


def test_thresholds_override_inherited_ones() -> None:
    environment = PLAN.environment({"STRAIGHTLINE_F": "7", "KEPT": "yes", "PATH": "/bin"})
    assert environment["STRAIGHTLINE_F"] == "10.0"
    assert environment["STRAIGHTLINE_WINDOW"] == "2.0"
    assert environment["STRAIGHTLINE_D"] == "65536"
    assert environment["KEPT"] == "yes"
    assert environment["PATH"].split(":") == ["/checkout/.venv/bin", "/bin"]


def test_without_thresholds_inherited_ones_are_kept() -> None:
    plan = Plan(**{**PLAN.__dict__, "thresholds": None})
    assert plan.environment({"STRAIGHTLINE_F": "7"})["STRAIGHTLINE_F"] == "7"


def test_no_command_line_has_a_secret() -> None:
    for part in components(PLAN):
        text = shlex.join(part.argv)
        assert "secret" not in text
        assert PLAN.flower_password not in text


def test_every_backend_has_a_pool_with_its_queue() -> None:
    commands = [part.argv for part in components(PLAN) if part.name.startswith("pool-")]
    assert {command[command.index("-Q") + 1] for command in commands} == {
        "straightline.local",
        "straightline.serverless",
        "straightline.gpu-container",
    }


def test_free_ports_are_free_and_different() -> None:
    with socket.socket() as taken:
        (port,) = free_ports(1)
        taken.bind(("127.0.0.1", port))
        found = free_ports(200)
    assert len(set(found)) == 200
    assert port not in found


def test_a_plan_gets_its_ports_and_keeps_the_rest() -> None:
    plan = with_ports(PLAN)
    assert len({plan.local_port, plan.functions_port, plan.flower_port}) == 3
    assert plan.broker == PLAN.broker
    assert plan.flower_password == PLAN.flower_password


def test_shell_scripts_have_no_syntax_error() -> None:
    root = Path(__file__).resolve().parents[3]
    for name in (
        "bootstrap.sh",
        "demo",
        "up",
        "down",
        "test",
        "lint",
        "faults",
        "soak",
        "engine",
        "bench",
        "compose-env",
    ):
        done = subprocess.run(["bash", "-n", root / "script" / name], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_each_process_gets_only_the_urls_of_its_own_users() -> None:
    shared = PLAN.environment({"STRAIGHTLINE_BROKER_URL": "amqp://inherited", "STRAIGHTLINE_FLOWER_URL": "x"})
    environments = {part.name: {**shared, **part.environment} for part in components(PLAN)}
    given = {name: each.get("STRAIGHTLINE_BROKER_URL") for name, each in environments.items()}
    assert given == {
        "local-server": None,
        "functions": None,
        **{name: USERS[name] for name in given if name not in ("local-server", "functions")},
    }
    url = "STRAIGHTLINE_DATABASE_URL"
    assert {name: each[url] for name, each in environments.items() if url in each} == {
        role: ROLES[role] for role in set(ROLES) - {"reader", "deployer"}
    }
    assert not any("STRAIGHTLINE_DATABASE_OWNER_URL" in each for each in environments.values())
    assert not any(name.startswith("STRAIGHTLINE_DEPLOY_") for each in environments.values() for name in each)
    assert not any("STRAIGHTLINE_FLOWER_URL" in each for each in environments.values())
    assert not any("STRAIGHTLINE_CELERY_BROKER_URL" in each for each in environments.values())


def test_a_given_broker_is_used_by_all_with_the_same_url() -> None:
    plan = Plan(**{**PLAN.__dict__, "broker": Access("amqp://given")})
    assert plan.public()["STRAIGHTLINE_BROKER_URL"] == "amqp://given"
    urls = {part.environment.get("STRAIGHTLINE_BROKER_URL", "amqp://given") for part in components(plan)}
    assert urls == {"amqp://given"}


def test_built_images_are_allowed_to_run() -> None:
    name = "STRAIGHTLINE_CONTAINER_DIGESTS"
    plan = Plan(**{**PLAN.__dict__, "digests": ("sha256:a",)})
    assert plan.environment({})[name] == "sha256:a"
    assert plan.environment({name: "sha256:b"})[name] == "sha256:a sha256:b"
    assert PLAN.environment({name: "sha256:b"})[name] == "sha256:b"
    assert name not in PLAN.environment({})


def test_malloc_settings_limit_heaps_and_return_large_blocks() -> None:
    environment = PLAN.environment({})
    assert environment["MALLOC_ARENA_MAX"] == "2"
    assert environment["MALLOC_MMAP_THRESHOLD_"] == environment["MALLOC_TRIM_THRESHOLD_"] == "131072"


def test_the_function_host_has_no_malloc_cache_per_thread() -> None:
    (host,) = (component for component in components(PLAN) if component.name == "functions")
    assert host.environment["GLIBC_TUNABLES"] == "glibc.malloc.tcache_count=0"
