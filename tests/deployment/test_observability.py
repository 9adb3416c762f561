"""The dashboard and the alerts use existing metrics and link to runbooks, and the files of compose exist."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import DESCRIPTOR as FACTORY_FILE
from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.command_line import ServeProcess, serving
from tests.support.manifests import container, find, load_yaml, render
from tests.support.waiting import wait_until

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "sprocket-grpc.json").read_text())
[_RULES] = load_yaml((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
RULES = [rule for group in _RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOKS = "docs/runbooks.md"

# Metrics that Prometheus itself adds to its targets.
_OF_PROMETHEUS = {"up"}
_NOT_A_NAME = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)|\$\w+')
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool"}


def queries() -> list[str]:
    """Return all queries of the dashboard and of the rules."""
    used = [target["expr"] for panel in PANELS for target in panel["targets"]]
    variables = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    labelled = [match[1] for each in variables if (match := re.search(r"label_values\((.*), \w+\)", each))]
    assert len(labelled) == len(variables)
    return [*used, *labelled, *(rule["expr"] for rule in RULES)]


def names(query: str) -> set[str]:
    """Return the names of metrics in a query."""
    return set(_NAME.findall(_NOT_A_NAME.sub(" ", query))) - _WORDS


def labels(query: str) -> set[str]:
    """Return the names of labels that a query filters or groups by."""
    used = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = [name for group in re.findall(r"\bby \(([^)]*)\)", query) for name in group.split(",")]
    return {*used, *(name.strip() for name in grouped)}


def scrape(served: ServeProcess) -> str:
    [line] = [line for line in served.lines if line.startswith("metrics on ")]
    with urllib.request.urlopen(line.removeprefix("metrics on "), timeout=60) as response:  # noqa: S310  # our own server
        return str(response.read().decode())


def _has_measured(text: str) -> bool:
    """Whether the metrics that need a waiting call, or are measured at intervals, are present."""
    return "db_client_connection_wait_time" in text and "sprocket_event_loop_lag" in text


@pytest.fixture
def metrics(database_url: str) -> Iterator[str]:
    """The metrics of a server after a call, a stream, an error, and a call that waited for a connection."""
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    with (
        serving(database_url=database_url, metrics_listen="127.0.0.1:0", pool_size="1") as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        _follow_for_a_moment(channel, database_url)
        wait_until(lambda: _fail_together(channel) and _has_measured(scrape(served)))
        yield scrape(served)


def _fail_together(channel: grpc.Channel) -> bool:
    """Make concurrent calls on a pool of one connection, which all fail with NOT_FOUND."""
    client: Any = LocationServiceStub(channel)
    request = GetLocationRequest(id="01900000-0000-7000-8000-000000000000")
    calls = [client.GetLocation.future(request) for _ in range(20)]
    return {call.exception().code() for call in calls} == {grpc.StatusCode.NOT_FOUND}


def _follow_for_a_moment(channel: grpc.Channel, url: str) -> None:
    with create_plain_engine(url).connect() as connection:
        factory_id = connection.scalar(text("SELECT min(id::text) FROM factory"))
    stub: Any = FactoryServiceStub(channel)
    stream = stub.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
    assert next(stream).end_of_history
    stream.cancel()


def test_names_are_found_in_queries() -> None:
    query = 'sum by (job, le) (rate(a_bucket{job="x", b!~"c(d)"}[5m])) / count(e:f) > 0.5 * 2 and g or vector(0)'
    assert names(query) == {"a_bucket", "e:f", "g"}
    assert labels(query) == {"job", "le", "b"}


def test_every_query_uses_existing_metrics_and_labels(metrics: str) -> None:
    samples = re.findall(r"^([a-z_]+)(?:\{(.*)\})? \S+$", metrics, re.MULTILINE)
    measured = {name for name, _ in samples} | {rule["record"] for rule in RULES if "record" in rule} | _OF_PROMETHEUS
    used = {name for query in queries() for name in names(query)}
    assert used - measured == set()
    # Prometheus itself adds the first two; error_type needs a failure of the server.
    added = {"job", "instance", "error_type"}
    known = {label for _, pairs in samples for label in re.findall(r'(\w+)="', pairs)} | added
    assert {label for query in queries() for label in labels(query)} - known == set()


def test_latency_queries_exclude_streaming_methods() -> None:
    service = FACTORY_FILE.services_by_name["FactoryService"]
    streams = [method.name for method in service.methods if method.server_streaming]
    timed = [query for query in queries() if "rpc_server_call_duration_seconds_bucket" in query]
    assert timed
    pattern = f'rpc_method!~".*/({"|".join(streams)})"'
    assert [query for query in timed if pattern not in query] == []


def test_every_alert_has_a_delay_a_severity_a_summary_and_a_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / RUNBOOKS).read_text(), re.MULTILINE)
    assert sorted(each["alert"] for each in ALERTS) == sorted(headings)
    for alert in ALERTS:
        assert re.fullmatch(r"[1-9]\d*[mh]", alert["for"])
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}#{alert['alert'].lower()}"


def test_every_alert_is_in_the_unit_tests_of_the_rules() -> None:
    tested = (ROOT / "deploy" / "prometheus" / "alerts.test.yml").read_text()
    assert [each["alert"] for each in ALERTS if each["alert"] not in tested] == []


def test_the_memory_alert_refers_to_the_memory_limit_of_the_pods() -> None:
    [alert] = [each for each in ALERTS if each["alert"] == "SprocketMemoryHigh"]
    assert container(find(render("base"), "Deployment"))["resources"]["limits"]["memory"] == "512Mi"
    assert "512 * 1024 * 1024" in alert["expr"]


def test_alerts_that_the_dashboard_names_exist() -> None:
    named = set(re.findall(r"\bSprocket[A-Z]\w+", " ".join(panel["description"] for panel in PANELS)))
    assert named
    assert named - {each["alert"] for each in ALERTS} == set()


def test_panels_have_unique_ids_and_descriptions_and_do_not_overlap() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken = [cell for panel in everything for cell in _cells(panel["gridPos"])]
    assert len(taken) == len(set(taken))
    for panel in PANELS:
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"


def _cells(position: dict[str, int]) -> Iterator[tuple[int, int]]:
    assert position["x"] + position["w"] <= 24
    return ((x + position["x"], y + position["y"]) for x in range(position["w"]) for y in range(position["h"]))


def test_files_that_compose_mounts_exist_and_are_valid_yaml_or_json() -> None:
    [compose] = load_yaml((ROOT / "docker-compose.yml").read_text())
    observing = [each for each in compose["services"].values() if each.get("profiles") == ["observability"]]
    paths = [volume.partition(":")[0] for each in observing for volume in each["volumes"] if volume.startswith("./")]
    assert len(observing) == 3
    assert paths
    for path in paths:
        files = [each for each in _files(ROOT / path) if each.suffix in {".yml", ".json"}]
        assert files
        for file in files:
            assert json.loads(file.read_text()) if file.suffix == ".json" else load_yaml(file.read_text())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
