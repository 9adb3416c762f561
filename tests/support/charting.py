"""Helpers for tests of the chart command: create factories with charts, and read stored charts."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprocket.v1.factory_pb2 import (
    CreateFactoryRequest,
    Factory,
    GetFactoryChartRequest,
    ListFactoriesRequest,
    UpdateFactoryRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from tests.support.command_line import Finished, ServeProcess, run

ESCAPE = "\x1b"
LIVELY = "Factory 2"
Row = tuple[str, int, int]


def chart(served: ServeProcess, *arguments: str) -> Finished:
    return run("chart", *arguments, "--server", served.address)


def find(factories: FactoryServiceStub, name: str) -> Factory:
    [found] = [each for each in factories.ListFactories(ListFactoriesRequest()).factories if each.display_name == name]
    return found


def create(factories: FactoryServiceStub, name: str, goal: int = 7) -> Factory:
    location_id = find(factories, LIVELY).location_id
    factory = Factory(display_name=name, location_id=location_id, sprocket_production_goal=goal)
    return factories.CreateFactory(CreateFactoryRequest(factory=factory)).factory


def set_goal(factories: FactoryServiceStub, identifier: str, goal: int) -> None:
    request = UpdateFactoryRequest(factory=Factory(id=identifier, sprocket_production_goal=goal))
    request.update_mask.paths.append("sprocket_production_goal")
    factories.UpdateFactory(request, wait_for_ready=True)


def stored(factories: FactoryServiceStub, name: str) -> list[Row]:
    rows: list[Row] = []
    for response in factories.GetFactoryChart(GetFactoryChartRequest(factory_id=find(factories, name).id)):
        columns = response.chart
        times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=each) for each in columns.time_micros]
        texts = [f"{each:%Y-%m-%dT%H:%M:%S.%f}Z" for each in times]
        rows.extend(zip(texts, columns.sprocket_production_goal, columns.sprocket_production_actual, strict=True))
    return rows


def read_csv(path: Path) -> list[Row]:
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header == ["time", "sprocket_production_goal", "sprocket_production_actual"]
    return [(time, int(goal), int(actual)) for time, goal, actual in rows]
