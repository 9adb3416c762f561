"""Metrics of the process."""

from pathlib import Path
from typing import Any

import pytest

from sprocket_grpc.telemetry import process


class Meter:
    """Collects each metric when it is created."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def create_observable_counter(self, name: str, callbacks: Any, *_: object) -> None:
        self.values[name] = [each.value for callback in callbacks for each in callback(None)]

    create_observable_up_down_counter = create_observable_gauge = create_observable_counter


@pytest.fixture
def meter() -> Any:
    return Meter()


def test_a_system_without_proc_has_the_other_metrics(
    meter: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path / "missing")
    process.observe_process(meter)
    assert meter.values["process.memory.usage"] == meter.values["process.unix.file_descriptor.count"] == []
    assert len(meter.values["process.cpu.time"]) == 2
    assert meter.values["process.uptime"][0] >= 0
