"""Variants of the installation: other images, the web listener, and those that docs/kubernetes.md shows."""

import re
from pathlib import Path
from typing import Any

import pytest

from sprocket_grpc.config import production
from tests import ROOT
from tests.support.documents import blocks
from tests.support.manifests import (
    KUBERNETES,
    Manifest,
    container,
    find,
    labels_hold,
    mounted_files,
    port_of,
    render_overlay,
    server_policy,
    variables,
)
from tests.support.pod_security import violations

pytestmark = pytest.mark.usefixtures("no_settings")

DIGEST = "sha256:" + "0123456789abcdef" * 4
GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()
SHOWN = [block for block in blocks(GUIDE) if block.language == "yaml" and "kind: Kustomization" in block.text]
PRODUCTION = (KUBERNETES / "production" / "kustomization.yaml").read_text()

IMAGES = {
    "a tag": "newTag: 0.2.0",
    "a tag with capital letters and underscores": "newTag: V0.2.0_RC.1",
    "a long tag": f"newTag: {'a' * 128}",
    "a version with build metadata": "newTag: 0.2.0+build.7",
    "a digest": f"digest: {DIGEST}",
    "a tag and a digest": f"newTag: 0.2.0\n    digest: {DIGEST}",
    "a registry with a port": "newName: registry.example:5000/team/sprocket-grpc\n    newTag: 0.2.0",
    "a registry with a port, and a digest": f"newName: registry.example:5000/sprocket-grpc\n    digest: {DIGEST}",
}


def with_image(image: str) -> str:
    """Return a kustomization of production with another image."""
    return f"resources: [../production]\nimages:\n  - name: registry.example/sprocket-grpc\n    {image}\n"


def migration(manifests: list[Manifest]) -> str:
    return str(find(manifests, "Job")["metadata"]["name"])


# The name of the migration.


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_each_image_has_a_migration_of_its_own_with_a_valid_name(
    in_production: list[Manifest], tmp_path: Path, image: str
) -> None:
    manifests = render_overlay(with_image(image), tmp_path)
    [used] = {container(find(manifests, kind))["image"] for kind in ("Deployment", "Job")}
    assert used != container(find(in_production, "Job"))["image"]
    assert migration(manifests) != migration(in_production)
    # A label of the pods has the name of their Job, so it is shorter than other names.
    assert re.fullmatch(r"sprocket-grpc-migrate-[a-z0-9]+", migration(manifests))
    assert len(migration(manifests)) <= 63


def test_a_change_of_a_setting_needs_no_other_migration(in_production: list[Manifest], tmp_path: Path) -> None:
    literals = "{name: sprocket-grpc, behavior: merge, literals: [SPROCKET_LOG_LEVEL=DEBUG]}"
    manifests = render_overlay(f"resources: [../production]\nconfigMapGenerator: [{literals}]\n", tmp_path)
    settings = [find(each, "ConfigMap")["metadata"]["name"] for each in (manifests, in_production)]
    assert settings[0] != settings[1]
    assert migration(manifests) == migration(in_production)


# The web listener.


@pytest.fixture(scope="module")
def with_web(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """Production with the component for the web listener, as its comment says."""
    assert PRODUCTION.count("# components: [../web]") == 1
    uncommented = PRODUCTION.replace("# components:", "components:")
    return render_overlay(uncommented, tmp_path_factory.mktemp("web"), "production")


def test_the_web_listener_of_production_passes_the_production_checks(with_web: list[Manifest], as_in_pod: Any) -> None:
    settings = as_in_pod(with_web, find(with_web, "Deployment"))
    assert settings.environment == "production"
    assert settings.tls_certificate
    production.check_serving(settings)
    assert violations(find(with_web, "Deployment")["spec"]["template"]["spec"]) == []


def test_the_ingress_leads_to_the_web_listener_under_a_name_that_it_accepts(
    with_web: list[Manifest], as_in_pod: Any
) -> None:
    settings = as_in_pod(with_web, find(with_web, "Deployment"))
    ports = {each["name"]: each["containerPort"] for each in container(find(with_web, "Deployment"))["ports"]}
    assert ports["web"] == port_of(settings.web_listen)
    service = find(with_web, "Service", "sprocket-grpc-web")
    [port] = service["spec"]["ports"]
    assert (port["name"], port["targetPort"], port["appProtocol"]) == ("web", "web", "https")
    assert labels_hold(service["spec"]["selector"], find(with_web, "Deployment")["spec"]["template"])
    ingress = find(with_web, "Ingress")["spec"]
    [rule] = ingress["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "sprocket-grpc-web", "port": {"name": "web"}}
    assert {rule["host"]} == settings.web_hosts == set(ingress["tls"][0]["hosts"])


def test_only_the_proxies_that_the_server_believes_reach_its_web_listener(
    with_web: list[Manifest], as_in_pod: Any
) -> None:
    assert as_in_pod(with_web, find(with_web, "Deployment")).web_proxies
    rules = server_policy(with_web)["ingress"]
    assert [each["ports"] for each in rules] == [[{"port": name}] for name in ("grpc", "metrics", "web")]
    assert [list(each) for each in rules[-1]["from"]] == [["namespaceSelector"]]


# The guide.


@pytest.mark.parametrize("shown", [block.text for block in SHOWN], ids=[f"line {block.line}" for block in SHOWN])
def test_the_kustomizations_of_the_guide_render(tmp_path: Path, shown: str) -> None:
    manifests = render_overlay(shown, tmp_path)
    assert violations(find(manifests, "Deployment")["spec"]["template"]["spec"]) == []
    assert re.fullmatch(r"sprocket-grpc-migrate-[a-z0-9]+", migration(manifests))


def test_probes_over_tls_use_the_port_of_the_service(tmp_path: Path) -> None:
    [shown] = [block.text for block in SHOWN if "mode: TLS" in block.text]
    manifests = render_overlay(shown, tmp_path)
    server = container(find(manifests, "Deployment"))
    [port] = [each["containerPort"] for each in server["ports"] if each["name"] == "grpc"]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert (server[name]["grpc"]["port"], server[name]["grpc"]["mode"]) == (port, "TLS")
    assert "health" not in [each["name"] for each in server["ports"]]
    assert (
        find(manifests, "ConfigMap", "sprocket-grpc-")["data"]["SPROCKET_HEALTH_LISTEN"] == ""
    )  # as if it were not set


def test_pods_with_redis_may_reach_it_and_read_its_url_from_a_secret(tmp_path: Path) -> None:
    [shown] = [block.text for block in SHOWN if "SPROCKET_RATE_LIMIT_STORAGE_FILE" in block.text]
    manifests = render_overlay(shown, tmp_path)
    deployment = find(manifests, "Deployment")
    files = mounted_files(deployment)
    named = variables(manifests, deployment)["SPROCKET_RATE_LIMIT_STORAGE_FILE"]
    assert str(files["sprocket-grpc/rate-limit-storage"]) == named
    assert {"sprocket-grpc/database-url", "sprocket-grpc/page-token-keys"} <= files.keys()  # they are still there
    assert 6379 in [port["port"] for rule in server_policy(manifests)["egress"] for port in rule["ports"]]
