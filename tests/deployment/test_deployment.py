"""The manifests, the compose file and the image agree with the code, and with each other."""

import re
from pathlib import Path
from typing import Any

import pytest

from sprocket_grpc import __version__
from sprocket_grpc.cli.main import main
from sprocket_grpc.config import production
from sprocket_grpc.config.settings import Settings, load_settings
from sprocket_grpc.server import run
from sprocket_grpc.server.health import LIVENESS, READINESS
from tests import ROOT
from tests.support.manifests import (
    Manifest,
    container,
    find,
    labels_hold,
    load_yaml,
    mounted_files,
    pod_templates,
    port_of,
    render,
    server_policy,
    variables,
)

pytestmark = pytest.mark.usefixtures("nothing_is_set")

# What would be in the files that are mounted.
CONTENTS = {
    "database-url": "postgresql://sprocket_server@database.example/sprocket",
    "migration-database-url": "postgresql://sprocket_owner@database.example/sprocket",
    "page-token-keys": "0123456789abcdef" * 2,
}
POSTGRESQL_CONNECTIONS = 97
"""What PostgreSQL lets ordinary users have by default: max_connections less superuser_reserved_connections."""


@pytest.fixture(scope="module", params=["base", "production"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture(scope="module")
def in_production() -> list[Manifest]:
    return render("production")


@pytest.fixture(scope="module")
def compose() -> Manifest:
    [document] = load_yaml((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture
def as_in_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Loads the settings of a workload, with files of ours where Secrets would be mounted."""

    def load(manifests: list[Manifest], workload: Manifest) -> Settings:
        keys = {str(path): key.partition("/")[2] for key, path in mounted_files(workload).items()}
        for name, value in variables(manifests, workload).items():
            if name.endswith("_FILE"):
                (tmp_path / keys[value]).write_text(CONTENTS[keys[value]] + "\n")
            monkeypatch.setenv(name, str(tmp_path / keys[value]) if name.endswith("_FILE") else value)
        return load_settings()

    return load


def load_compose(compose: Manifest, name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load the settings of a service of the compose file, as they are when nothing is set outside."""
    for variable, value in compose["services"][name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    return load_settings()


# The settings.


def test_the_settings_of_each_pod_are_known_and_right(manifests: list[Manifest], as_in_pod: Any) -> None:
    assert as_in_pod(manifests, find(manifests, "Deployment")).database_url
    assert as_in_pod(manifests, find(manifests, "Job")).database_url


def test_production_is_fit_for_production(in_production: list[Manifest], as_in_pod: Any) -> None:
    settings = as_in_pod(in_production, find(in_production, "Deployment"))
    assert settings.environment == "production"
    production.check_serving(settings)
    production.check_database(as_in_pod(in_production, find(in_production, "Job")))


def test_the_certificate_and_the_key_are_where_they_are_mounted(in_production: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(in_production, "Deployment")
    settings, files = as_in_pod(in_production, deployment), mounted_files(deployment)
    assert settings.tls_certificate == files["sprocket-grpc-tls/tls.crt"]
    assert settings.tls_key == files["sprocket-grpc-tls/tls.key"]


def test_the_server_and_the_migration_are_different_users_of_the_database(in_production: list[Manifest]) -> None:
    server, migration = (mounted_files(find(in_production, kind)) for kind in ("Deployment", "Job"))
    assert "sprocket-grpc/migration-database-url" not in server
    assert list(migration) == ["sprocket-grpc/migration-database-url"]


def test_every_mounted_file_is_told_about_to_those_who_operate_it(in_production: list[Manifest]) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    for kind in ("Deployment", "Job"):
        for name in mounted_files(find(in_production, kind)):
            secret, _, key = name.partition("/")
            assert f"`{secret}`" in guide
            assert f"`{key}`" in guide


def test_every_setting_of_the_compose_file_is_known_and_right(
    compose: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [name for name, service in compose["services"].items() if service["image"] == "sprocket-grpc"]
    assert ours == ["migrate", "server"]
    for name in ours:
        assert load_compose(compose, name, monkeypatch).database_url


# Times and numbers.


def test_a_pod_has_the_time_to_drain_to_finish_calls_and_to_clean_up(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    settings = as_in_pod(manifests, deployment)
    needed = settings.drains_seconds + settings.shutdown_grace_seconds + run._CUT_OFF_SECONDS
    assert needed + 5 <= deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def test_the_container_of_compose_has_that_time_too(compose: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_compose(compose, "server", monkeypatch)
    needed = settings.drains_seconds + settings.shutdown_grace_seconds + run._CUT_OFF_SECONDS
    assert needed <= int(compose["services"]["server"]["stop_grace_period"].removesuffix("s"))


def test_a_pod_may_wait_for_its_database_before_it_is_given_up(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    probe = container(deployment)["startupProbe"]
    waited = as_in_pod(manifests, deployment).database_wait_seconds
    assert probe["periodSeconds"] * probe["failureThreshold"] > waited + 10


def test_all_pods_together_find_room_in_a_postgresql_as_it_comes(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    most = find(manifests, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    of_each = as_in_pod(manifests, deployment).pool_size + 1  # the one for health
    of_the_migration = 1
    assert (most + surge) * of_each + of_the_migration <= POSTGRESQL_CONNECTIONS


def test_nobody_but_the_autoscaler_says_how_many_pods_there_are(manifests: list[Manifest]) -> None:
    deployment, scaler = find(manifests, "Deployment"), find(manifests, "HorizontalPodAutoscaler")
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert find(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]


# Ports.


def test_the_ports_of_the_container_are_those_that_the_server_listens_on(
    manifests: list[Manifest], as_in_pod: Any
) -> None:
    deployment = find(manifests, "Deployment")
    settings = as_in_pod(manifests, deployment)
    ports = {each["name"]: each["containerPort"] for each in container(deployment)["ports"]}
    listened = {"grpc": settings.listen, "health": settings.health_listen, "metrics": settings.metrics_listen}
    assert ports == {name: port_of(address) for name, address in listened.items()}


def test_probes_ask_the_health_service_by_names_it_knows(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    port = port_of(as_in_pod(manifests, deployment).health_listen)
    described = container(deployment)
    asked = {name: described[f"{name}Probe"]["grpc"] for name in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"port": port, "service": LIVENESS},
        "liveness": {"port": port, "service": LIVENESS},
        "readiness": {"port": port, "service": READINESS},
    }


def test_services_lead_to_ports_of_the_server_by_their_own_numbers(manifests: list[Manifest]) -> None:
    numbers = {each["name"]: each["containerPort"] for each in container(find(manifests, "Deployment"))["ports"]}
    services = [each for each in manifests if each["kind"] == "Service"]
    assert [each["spec"].get("clusterIP") for each in services].count("None") == 1
    for service in services:
        ports = service["spec"]["ports"]
        assert "grpc" in [each["name"] for each in ports]
        assert all(each["name"] == each["targetPort"] and each["port"] == numbers[each["targetPort"]] for each in ports)


def test_the_network_policy_lets_clients_and_prometheus_in_and_to_nothing_else(manifests: list[Manifest]) -> None:
    rules = server_policy(manifests)["ingress"]
    assert [each["ports"] for each in rules] == [[{"port": "grpc"}], [{"port": "metrics"}]]
    assert all(each["from"] for each in rules)


def test_the_server_may_reach_what_its_settings_name_and_nothing_else(
    in_production: list[Manifest], as_in_pod: Any
) -> None:
    settings = as_in_pod(in_production, find(in_production, "Deployment"))
    allowed = {port["port"] for rule in server_policy(in_production)["egress"] for port in rule["ports"]}
    assert settings.jwt_jwks.startswith("https://login.example/")
    assert allowed == {53, 5432, 443, port_of(settings.otlp_endpoint)}
    assert settings.rate_limit_storage is None  # or else Redis's port would be needed


# Who belongs to whom.


def test_every_selector_finds_the_server_and_not_the_migration(manifests: list[Manifest]) -> None:
    server = find(manifests, "Deployment")["spec"]["template"]
    migration = find(manifests, "Job")["spec"]["template"]
    selectors = [
        find(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        find(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"] for each in manifests if each["kind"] == "Service"),
        server_policy(manifests)["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in server["spec"]["topologySpreadConstraints"]),
    ]
    assert [each for each in selectors if not labels_hold(each, server)] == []
    assert [each for each in selectors if labels_hold(each, migration)] == []


def test_the_migration_has_a_policy_of_its_own_that_lets_nobody_in(manifests: list[Manifest]) -> None:
    policy = find(manifests, "NetworkPolicy", "sprocket-grpc-migrate")["spec"]
    assert labels_hold(policy["podSelector"]["matchLabels"], find(manifests, "Job")["spec"]["template"])
    assert "Ingress" in policy["policyTypes"]
    assert "ingress" not in policy


def test_prometheus_finds_each_pod_once(manifests: list[Manifest]) -> None:
    """By hand: there is no schema of ServiceMonitor here."""
    monitor = find(manifests, "ServiceMonitor")["spec"]
    assert monitor.keys() == {"jobLabel", "selector", "endpoints"}
    [endpoint] = monitor["endpoints"]
    assert endpoint.keys() == {"port", "interval"}
    [service] = [
        each
        for each in manifests
        if each["kind"] == "Service"
        and labels_hold(monitor["selector"]["matchLabels"], each)
        and endpoint["port"] in [port["name"] for port in each["spec"]["ports"]]
    ]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "sprocket-grpc"


# What runs.


def test_pods_are_as_the_restricted_standard_wants_them(manifests: list[Manifest]) -> None:
    for template in pod_templates(manifests):
        pod = template["spec"]
        [only] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert {"cpu", "memory"} <= only["resources"]["requests"].keys()
        assert "memory" in only["resources"]["limits"]


def test_pods_run_what_the_image_has(manifests: list[Manifest], compose: Manifest) -> None:
    image = (ROOT / "Dockerfile").read_text()
    [user] = re.findall(r"^USER (\d+):(\d+)$", image, re.MULTILINE)
    assert 'ENTRYPOINT ["sprocket-grpc"]' in image
    commands = [container(find(manifests, kind))["args"] for kind in ("Deployment", "Job")]
    assert commands == [["serve"], ["migrate"]]
    assert commands == [compose["services"][name]["command"] for name in ("server", "migrate")]
    assert {command for [command] in commands} <= set(main.list_commands(None))  # type: ignore[arg-type]  # it needs none
    for template in pod_templates(manifests):
        context = template["spec"]["securityContext"]
        assert [context["runAsUser"], context["runAsGroup"], context["fsGroup"]] == [*map(int, user), int(user[1])]


def test_the_image_says_which_ports_it_may_listen_on(manifests: list[Manifest]) -> None:
    [exposed] = re.findall(r"^EXPOSE (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ports = [each["containerPort"] for each in container(find(manifests, "Deployment"))["ports"]]
    assert exposed.split() == [str(port) for port in ports]


def test_the_migration_is_of_this_version_and_named_for_it(in_production: list[Manifest]) -> None:
    images = {container(find(in_production, kind))["image"] for kind in ("Deployment", "Job")}
    assert images == {f"registry.example/sprocket-grpc:{__version__}"}
    assert find(in_production, "Job")["metadata"]["name"] == f"sprocket-grpc-migrate-{__version__}"
