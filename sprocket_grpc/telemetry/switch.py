"""Turns traces and metrics on, if they have somewhere to go. What is off is not even imported."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sprocket_grpc.settings import Settings

if TYPE_CHECKING:
    from sprocket_grpc.telemetry.telemetry import Telemetry


@contextmanager
def telemetry_for(settings: Settings) -> Iterator["Telemetry | None"]:
    """Give what the settings ask for, until the block ends; None if that is nothing.

    Raises:
        AddressInUseError: The address for metrics cannot be had.
    """
    if settings.metrics_listen is None and settings.otlp_endpoint is None:
        yield None
        return
    from sprocket_grpc.telemetry.telemetry import Telemetry  # noqa: PLC0415  # 0.3 s and 25 MB, which only some need

    telemetry = Telemetry(settings)
    try:
        yield telemetry
    finally:
        telemetry.close()
