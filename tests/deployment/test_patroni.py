"""The files of deploy/patroni agree with each other and with the service."""

import re
from typing import Any

import pytest
from sqlalchemy import make_url

from sprocket_grpc.config.database_url import hosts_of, normalise
from tests import ROOT
from tests.support.manifests import Manifest, load_yaml

PATRONI = ROOT / "deploy" / "patroni"


def read(name: str) -> Manifest:
    [document] = load_yaml((PATRONI / name).read_text())
    return document


def nodes() -> dict[str, Any]:
    return {name: each for name, each in read("compose.yml")["services"].items() if name.startswith("node-")}


def settings(name: str) -> Manifest:
    """Return the part of a file that Patroni keeps in etcd."""
    document = read(name)
    found: Manifest = document["bootstrap"]["dcs"] if "bootstrap" in document else document["spec"]["patroni"]
    return found


@pytest.mark.parametrize("name", ["patroni.yml", "kubernetes.yaml"])
def test_the_timers_follow_the_rule_of_patroni(name: str) -> None:
    found = settings(name)
    assert found["loop_wait"] + 2 * found["retry_timeout"] <= found["ttl"]
    assert found["ttl"] >= 20


@pytest.mark.parametrize("name", ["patroni.yml", "kubernetes.yaml"])
def test_a_commit_waits_for_a_replica_and_the_loss_of_etcd_stops_no_writes(name: str) -> None:
    assert settings(name)["synchronous_mode"] in ("quorum", True)
    assert settings(name)["failsafe_mode"] is True


def test_the_example_for_kubernetes_has_the_timers_that_were_measured() -> None:
    measured, example = settings("patroni.yml"), settings("kubernetes.yaml")
    assert {name: example[name] for name in ("ttl", "loop_wait", "retry_timeout")} == {
        name: measured[name] for name in ("ttl", "loop_wait", "retry_timeout")
    }
    parameters = read("kubernetes.yaml")["spec"]["postgresql"]["parameters"]
    assert parameters == measured["postgresql"]["parameters"]


def test_every_node_of_compose_has_the_variables_that_the_configuration_names() -> None:
    text = (PATRONI / "patroni.yml").read_text()
    named = {name for name in re.findall(r"PATRONI_[A-Z0-9_]+", text) if not name.endswith("_")}
    image = set(re.findall(r"PATRONI_[A-Z0-9_]+(?==)", (PATRONI / "Dockerfile").read_text()))
    assert len(nodes()) == 3
    for name, node in nodes().items():
        assert named - image - node["environment"].keys() == set()
        assert node["environment"]["PATRONI_NAME"] == name


def test_the_server_of_compose_may_write_to_and_read_from_any_node() -> None:
    variables = read("compose.yml")["services"]["server"]["environment"]
    for name in ("SPROCKET_DATABASE_URL", "SPROCKET_DATABASE_READ_URL"):
        url = normalise(variables[name].replace("${CLUSTER_PASSWORD}", "secret"))
        assert [host.name for host in hosts_of(make_url(url))] == sorted(nodes())


def test_all_services_of_compose_run_without_privileges() -> None:
    for service in read("compose.yml")["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_is_built_from_files_that_docker_may_read() -> None:
    copied = re.findall(r"^COPY (\S+) ", (PATRONI / "Dockerfile").read_text(), re.MULTILINE)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    for path in copied:
        assert (ROOT / path).is_file()
        assert path in allowed or path.split("/")[0] in allowed
