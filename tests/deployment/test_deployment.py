"""The manifests, the compose file and the image agree with the code and with each other."""

import re
from typing import Any

import pytest

from sprocket_grpc import __version__
from sprocket_grpc.cli.main import main
from sprocket_grpc.config import production
from sprocket_grpc.server import run
from sprocket_grpc.server.health import LIVENESS, READINESS
from tests import ROOT
from tests.support.manifests import (
    Manifest,
    container,
    find,
    labels_hold,
    mounted_files,
    pod_templates,
    port_of,
    server_policy,
)

pytestmark = pytest.mark.usefixtures("no_settings")

POSTGRESQL_CONNECTIONS = 97
"""PostgreSQL's default limit for ordinary roles: max_connections minus superuser_reserved_connections."""


# Settings.


def test_the_settings_of_each_pod_are_valid(manifests: list[Manifest], as_in_pod: Any) -> None:
    assert as_in_pod(manifests, find(manifests, "Deployment")).database_url
    assert as_in_pod(manifests, find(manifests, "Job")).database_url


def test_the_production_manifests_pass_the_production_checks(in_production: list[Manifest], as_in_pod: Any) -> None:
    settings = as_in_pod(in_production, find(in_production, "Deployment"))
    assert settings.environment == "production"
    production.check_serving(settings)
    production.check_database(as_in_pod(in_production, find(in_production, "Job")))


def test_the_tls_settings_name_the_mounted_files(in_production: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(in_production, "Deployment")
    settings, files = as_in_pod(in_production, deployment), mounted_files(deployment)
    assert settings.tls_certificate == files["sprocket-grpc-tls/tls.crt"]
    assert settings.tls_key == files["sprocket-grpc-tls/tls.key"]


def test_the_server_and_the_migration_use_different_database_roles(in_production: list[Manifest]) -> None:
    server, migration = (mounted_files(find(in_production, kind)) for kind in ("Deployment", "Job"))
    assert "sprocket-grpc/migration-database-url" not in server
    assert list(migration) == ["sprocket-grpc/migration-database-url"]


def test_every_mounted_file_is_in_the_operations_guide(in_production: list[Manifest]) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    for kind in ("Deployment", "Job"):
        for name in mounted_files(find(in_production, kind)):
            secret, _, key = name.partition("/")
            assert f"`{secret}`" in guide
            assert f"`{key}`" in guide


# Times and numbers.


def test_the_termination_grace_period_covers_drain_calls_and_shutdown(
    manifests: list[Manifest], as_in_pod: Any
) -> None:
    deployment = find(manifests, "Deployment")
    settings = as_in_pod(manifests, deployment)
    needed = settings.drains_seconds + settings.shutdown_grace_seconds + run._CANCEL_SECONDS
    assert needed + 5 <= deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def test_the_startup_probe_allows_for_the_wait_for_the_database(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    probe = container(deployment)["startupProbe"]
    waited = as_in_pod(manifests, deployment).database_wait_seconds
    assert probe["periodSeconds"] * probe["failureThreshold"] > waited + 10


def test_the_connections_of_all_pods_fit_into_the_default_limit_of_postgresql(
    manifests: list[Manifest], as_in_pod: Any
) -> None:
    deployment = find(manifests, "Deployment")
    most = find(manifests, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    per_pod = as_in_pod(manifests, deployment).pool_size + 1  # 1 for the health check
    migration = 1
    assert (most + surge) * per_pod + migration <= POSTGRESQL_CONNECTIONS


def test_only_the_autoscaler_sets_the_number_of_replicas(manifests: list[Manifest]) -> None:
    deployment, scaler = find(manifests, "Deployment"), find(manifests, "HorizontalPodAutoscaler")
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert find(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]


# Ports.


def test_the_container_ports_match_the_listen_settings(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    settings = as_in_pod(manifests, deployment)
    ports = {each["name"]: each["containerPort"] for each in container(deployment)["ports"]}
    listened = {"grpc": settings.listen, "health": settings.health_listen, "metrics": settings.metrics_listen}
    assert ports == {name: port_of(address) for name, address in listened.items()}


def test_probes_use_the_names_of_the_health_service(manifests: list[Manifest], as_in_pod: Any) -> None:
    deployment = find(manifests, "Deployment")
    port = port_of(as_in_pod(manifests, deployment).health_listen)
    described = container(deployment)
    probes = {name: described[f"{name}Probe"]["grpc"] for name in ("startup", "liveness", "readiness")}
    assert probes == {
        "startup": {"port": port, "service": LIVENESS},
        "liveness": {"port": port, "service": LIVENESS},
        "readiness": {"port": port, "service": READINESS},
    }


def test_service_ports_match_the_container_ports(manifests: list[Manifest]) -> None:
    numbers = {each["name"]: each["containerPort"] for each in container(find(manifests, "Deployment"))["ports"]}
    services = [each for each in manifests if each["kind"] == "Service"]
    assert [each["spec"].get("clusterIP") for each in services].count("None") == 1
    for service in services:
        ports = service["spec"]["ports"]
        assert "grpc" in [each["name"] for each in ports]
        assert all(each["name"] == each["targetPort"] and each["port"] == numbers[each["targetPort"]] for each in ports)


# Selectors.


def test_every_selector_matches_the_server_but_not_the_migration(manifests: list[Manifest]) -> None:
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


def test_prometheus_finds_each_pod_once(manifests: list[Manifest]) -> None:
    """Checks the fields of the ServiceMonitor by hand, because its schema is not available."""
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


# Pods and images.


def test_pods_and_compose_run_the_commands_of_the_image(manifests: list[Manifest], compose: Manifest) -> None:
    image = (ROOT / "Dockerfile").read_text()
    [user] = re.findall(r"^USER (\d+):(\d+)$", image, re.MULTILINE)
    assert 'ENTRYPOINT ["sprocket-grpc"]' in image
    commands = [container(find(manifests, kind))["args"] for kind in ("Deployment", "Job")]
    assert commands == [["serve"], ["migrate", "--grant", "sprocket_server"]]  # a role of deploy/postgresql/roles.sql
    assert commands == [compose["services"][name]["command"] for name in ("server", "migrate")]
    assert {each[0] for each in commands} <= set(main.list_commands(None))  # type: ignore[arg-type]  # it ignores the context
    for template in pod_templates(manifests):
        context = template["spec"]["securityContext"]
        assert [context["runAsUser"], context["runAsGroup"], context["fsGroup"]] == [*map(int, user), int(user[1])]


def test_the_image_exposes_the_container_ports_and_the_web_listener(manifests: list[Manifest]) -> None:
    [exposed] = re.findall(r"^EXPOSE (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ports = [each["containerPort"] for each in container(find(manifests, "Deployment"))["ports"]]
    assert exposed.split() == [str(port) for port in (*ports, 8080)]


def test_the_server_and_the_migration_have_the_image_of_this_version(in_production: list[Manifest]) -> None:
    images = {container(find(in_production, kind))["image"] for kind in ("Deployment", "Job")}
    assert images == {f"registry.example/sprocket-grpc:{__version__}"}
