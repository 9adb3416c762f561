"""Packs the old entries of charts into pages, in the background and page by page."""

from sprocket_grpc.services.charts.upkeep import ChartUpkeep, keeping
from sprocket_grpc.storage import chart_pages
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.telemetry.background import BackgroundTask

INTERVAL_SECONDS = 60


class Packer(ChartUpkeep):
    """Packs the charts of all factories; a step makes a page."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, chart_pages.scan, chart_pages.pack)


def packing(database: Database, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
    """Return the background task that packs charts."""
    return keeping("pack-charts", Packer(database), interval_seconds)
