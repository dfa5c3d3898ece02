import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from broker_config import definitions
from broker_config.users import USER_PREFIX
from outcomes.schema.roles import GRANTS, ROLE_PREFIX
from script.stack.processes.components import components
from script.stack.processes.plan import Plan, Thresholds
from script.stack.services.access import Access
from straightline import names
from straightline.contracts.request import MAX_BODY_BYTES

Services = dict[str, dict[str, Any]]
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<rest>[^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN|COOKIE")
USERS = {
    "scheduler": "scheduler",
    "recorder": "recorder",
    "reconciler": "reconciler",
    "flower": "flower",
    "celery-door": "celery-door",
    "webhooks": "webhooks",
    "batches": "batches",
    "gateway": "gateway",
    "client": "producer",
    "deployer": "deployer",
    **{f"pool-{backend}": f"pool-{backend}" for backend in names.BACKENDS},
}
"""Broker user of each service that has one."""
UNITS = {"m": 1024**2, "g": 1024**3, "MiB": 1024**2}


def once(service: dict[str, Any]) -> bool:
    return bool(service["restart"] == "no")


def python_modules(service: dict[str, Any]) -> list[str]:
    """Modules that the command and the health check run with `python -m`."""
    words = [*service.get("entrypoint", ()), *service.get("command", ())]
    words += service.get("healthcheck", {}).get("test", ())
    words = [word for text in words for word in text.split()]
    return [
        words[place + 2]
        for place, word in enumerate(words[:-2])
        if word.endswith("python") and words[place + 1] == "-m"
    ]


def test_every_service_has_a_health_check_or_ends(services: Services) -> None:
    unchecked = [name for name, service in services.items() if "healthcheck" not in service]
    assert all(once(services[name]) for name in unchecked), unchecked
    assert not any(once(service) for service in services.values() if "healthcheck" in service)


def test_dependencies_are_satisfiable(services: Services) -> None:
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if once(services[other]) else "service_healthy"
            assert wanted == {"condition": expected}, f"{name} waits for {other}"


def test_every_secret_is_required_and_none_has_a_default(compose_text: str) -> None:
    used = [(match["name"], match["rest"]) for match in VARIABLE.finditer(compose_text)]
    secrets = [(name, rest) for name, rest in used if SECRET.search(name)]
    assert {name for name, _ in secrets} >= {
        "STRAIGHTLINE_BROKER_PASSWORD",
        "STRAIGHTLINE_DATABASE_PASSWORD",
        "STRAIGHTLINE_FLOWER_PASSWORD",
    }
    assert [name for name, rest in secrets if not rest.startswith(":?")] == []


def test_no_credential_is_written_out(services: Services) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            text = str(value)
            if SECRET.search(name) or name.endswith(("_PASS", "_AUTH")) or re.search(r"://\w+:.+@", text):
                assert re.search(r"\$\{[A-Z_]+:\?", text), name


def test_each_component_has_only_the_secrets_it_needs(services: Services) -> None:
    def holders(variable: str) -> set[str]:
        return {name for name, service in services.items() if variable in str(service.get("environment"))}

    assert holders("STRAIGHTLINE_DATABASE_PASSWORD:") == {"database", "migrations"}
    for role in GRANTS:
        holder = f"STRAIGHTLINE_DATABASE_PASSWORD_{role.upper()}"
        assert holders(holder) == {"migrations"} | ({role} if role in services else set())
        if role in services:
            url = services[role]["environment"]["STRAIGHTLINE_DATABASE_URL"]
            assert f"//{ROLE_PREFIX}{role}:" in url
    assert holders("AWS_SECRET_ACCESS_KEY") == {"pool-serverless"}
    assert holders("STRAIGHTLINE_FLOWER_PASSWORD") == {"flower"}
    assert holders("STRAIGHTLINE_BROKER_PASSWORD:") == {"broker", "topology"}
    for service, user in USERS.items():
        assert holders(definitions.variable(user)) == {"topology", service}
        assert f"//{USER_PREFIX}{user}:" in services[service]["environment"]["STRAIGHTLINE_BROKER_URL"]
    others = {"local-server", "functions", "digits", "digits-image", "migrations", "database"}
    assert not holders("STRAIGHTLINE_BROKER_PASSWORD") & others
    assert holders("STRAIGHTLINE_BROKER_PASSWORD") == set(services) - others


def test_every_image_is_pinned(services: Services, compose_text: str) -> None:
    assert "latest" not in compose_text
    for name, service in services.items():
        image = VARIABLE.sub(lambda match: match["rest"].removeprefix(":-"), service["image"])
        assert re.search(r":[0-9]", image), name


def test_third_party_services_are_recent_enough(services: Services) -> None:
    broker = re.search(r"rabbitmq:(\d+)[.\d]*-management", services["broker"]["image"])
    database = re.search(r"postgres:(\d+)", services["database"]["image"])
    assert broker
    assert int(broker[1]) >= 4
    assert database
    assert int(database[1]) >= 18, "before 18 the volume is elsewhere"
    assert services["database"]["volumes"] == ["database:/var/lib/postgresql"]


def test_ports_are_published_only_on_loopback(services: Services) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"broker", "flower", "gateway"}
    assert all(port.startswith("127.0.0.1:") for found in ports.values() for port in found)


def test_every_service_is_confined(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name
        if not once(service):
            assert service["restart"] == "unless-stopped", name
            assert "stop_grace_period" in service, name


def test_the_broker_stops_after_its_clients(services: Services) -> None:
    for name, service in services.items():
        if "messaging" in service.get("networks", ()) and name not in {"broker", "client", "deployer"}:
            assert "broker" in service["depends_on"], name


def test_only_one_service_reaches_the_engine(services: Services) -> None:
    reach = {name for name, service in services.items() if "docker.sock" in str(service.get("volumes"))}
    assert reach == {"pool-gpu-container"}
    assert "scale" not in services["pool-gpu-container"], (
        "two replicas would remove each other's containers as orphans"
    )


def test_networks_separate_unrelated_services(compose: dict[str, Any], services: Services) -> None:
    def members(network: str) -> set[str]:
        return {name for name, service in services.items() if network in service.get("networks", ())}

    database = {"database", "migrations", "recorder", "reconciler", "gateway", "webhooks", "batches"}
    database |= {"deployer"}
    assert members("ledger") == database
    assert members("serving") == {"local-server", "pool-local", "deployer"}
    assert members("functions") == {"functions", "pool-serverless"}
    assert members("model-containers") == {"pool-gpu-container"}
    assert members("edge") == {"broker", "flower", "gateway", "webhooks"}
    assert "database" not in members("messaging")
    outward = {name for name, network in compose["networks"].items() if not network.get("internal")}
    assert outward == {"edge"}
    for name, service in services.items():
        # A service without networks gets the default one, which has a route out.
        assert service.get("networks") or service.get("network_mode") == "none", name


def test_every_command_exists(services: Services) -> None:
    found = {module for service in services.values() for module in python_modules(service)}
    assert {"broker_config", "broker_config.health", "scheduler", "outcomes", "celery"} <= found
    assert [module for module in found if importlib.util.find_spec(module) is None] == []


ONLY_SCRIPT_UP = {"functions": {"STRAIGHTLINE_FUNCTIONS_DEPLOY"}}
"""Settings that compose leaves at their default, since its `deployer` deploys models."""
ONLY_COMPOSE = {
    "reconciler": {"STRAIGHTLINE_STORE_KEEP", "STRAIGHTLINE_SWEEP_INTERVAL"},
    "pool-gpu-container": {
        *("STRAIGHTLINE_CONTAINER_IMAGE", "STRAIGHTLINE_CONTAINER_NETWORK", "STRAIGHTLINE_CONTAINER_OWNER"),
        *("STRAIGHTLINE_CONTAINER_MEMORY", "STRAIGHTLINE_CONTAINER_CPUS"),
    },
}
"""Settings of a service that script/up takes from the caller's environment or leaves at their default."""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        root=tmp_path,
        run="r",
        directory=tmp_path,
        models=tmp_path,
        broker=Access("amqp://"),
        database=Access("postgresql://"),
        driver="docker",
        digests=("sha256:a",),
        thresholds=Thresholds(F=1, window=1, D=1),
    )


def test_script_up_and_compose_start_the_same_processes(services: Services, plan: Plan) -> None:
    lasting = {name for name, service in services.items() if not once(service)}
    assert {component.name for component in components(plan)} == lasting - {"broker", "database"}


def test_script_up_and_compose_start_processes_with_the_same_commands(services: Services, plan: Plan) -> None:
    def plain(words: list[str]) -> list[str]:
        """Drop the interpreter and the number of slots, which is a setting in compose."""
        places = [place for place, word in enumerate(words) if word == "-c" and "worker" in words]
        return [word for place, word in enumerate(words) if place and place - 1 not in places]

    for component in components(plan):
        assert plain(list(component.argv)) == plain(services[component.name]["command"]), component.name


def test_script_up_and_compose_use_the_same_settings(services: Services, plan: Plan) -> None:
    shared = plan.environment({}).keys()
    for component in components(plan):
        name, own = component.name, component.environment.keys()
        compose = services[name]["environment"].keys()
        assert own - compose == ONLY_SCRIPT_UP.get(name, set()), name
        assert compose - own - shared == ONLY_COMPOSE.get(name, set()), name


def test_all_use_one_store(services: Services) -> None:
    """A reference into another store is refused, so that one setting must reach them all."""
    found = {
        name: service.get("environment", {}).get("STRAIGHTLINE_STORE") for name, service in services.items()
    }
    stores = {name: store for name, store in found.items() if store is not None}
    assert {"gateway", "batches", "client", "pool-local", "reconciler"} <= stores.keys()
    assert set(stores.values()) == {"${STRAIGHTLINE_STORE:-file:///store}"}


def test_gateway_and_webhooks_allow_the_same_hosts(services: Services) -> None:
    found = {
        name: hosts
        for name, service in services.items()
        if (hosts := service.get("environment", {}).get("STRAIGHTLINE_WEBHOOK_HOSTS")) is not None
    }
    assert found == dict.fromkeys(["gateway", "webhooks"], "${STRAIGHTLINE_WEBHOOK_HOSTS:-}")


def test_pools_consume_their_own_queue(services: Services) -> None:
    for backend in names.BACKENDS:
        pool = services[f"pool-{backend}"]
        assert pool["command"][pool["command"].index("-Q") + 1] == names.backend_queue(backend)
        assert pool["healthcheck"]["test"][-1] == names.backend_queue(backend)


def test_there_is_a_standby_scheduler(services: Services) -> None:
    assert services["scheduler"]["scale"] == 2
    assert services["scheduler"]["healthcheck"]["test"][-1] == names.INTERACTIVE_QUEUE
    assert services["recorder"]["healthcheck"]["test"][-1] == names.OUTCOMES_QUEUE
    assert services["reconciler"]["healthcheck"]["test"][-1] == names.DEAD_QUEUE


def test_the_broker_is_configured_for_its_load(services: Services, root: Path) -> None:
    lines = (root / "broker_config" / "rabbitmq.conf").read_text(encoding="ascii").splitlines()
    settings = dict(line.split(" = ") for line in lines if line and not line.startswith("#"))
    assert int(settings["max_message_size"]) > 2 * MAX_BODY_BYTES
    assert int(settings["consumer_timeout"]) >= 2 * 3600 * 1000, "the database may be down for an hour"
    watermark = re.fullmatch(r"(\d+)(MiB)", settings["vm_memory_high_watermark.absolute"])
    limit = re.fullmatch(r"(\d+)([mg])", services["broker"]["mem_limit"])
    assert watermark
    assert limit
    assert int(watermark[1]) * UNITS[watermark[2]] < 0.7 * int(limit[1]) * UNITS[limit[2]]
    journal = int(settings["raft.wal_max_size_bytes"])
    assert 4 * journal < int(watermark[1]) * UNITS[watermark[2]], "queues keep a journal or two in memory"


def test_flowers_task_history_fits_into_memory(services: Services) -> None:
    limit = re.fullmatch(r"(\d+)([mg])", services["flower"]["mem_limit"])
    assert limit
    kept = int(services["flower"]["environment"]["FLOWER_MAX_TASKS"])
    assert kept * 20_000 < 0.5 * int(limit[1]) * UNITS[limit[2]]
