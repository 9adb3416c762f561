"""Reads the metrics of a server process as Prometheus does."""

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.command_line import ServeProcess

_ANNOUNCEMENT = "metrics on "


class Metrics:
    """What was scraped at one moment.

    Attributes:
        kinds: The kind of each metric, by its name without `_total`.
        samples: All values.
    """

    def __init__(self, content: str) -> None:
        families = list(text_string_to_metric_families(content))
        self.kinds = {family.name: family.type for family in families}
        self.samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Add up the values that have these labels; 0 if there are none."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, label: str) -> set[str]:
        """Return all values that a label has anywhere."""
        return {sample.labels[label] for sample in self.samples if label in sample.labels}


def metrics_url(served: ServeProcess) -> str:
    """Return where the process says that its metrics are."""
    [line] = [line for line in served.lines if line.startswith(_ANNOUNCEMENT)]
    return line.removeprefix(_ANNOUNCEMENT)


def scrape(served: ServeProcess) -> Metrics:
    """Read them."""
    with urlopen(metrics_url(served)) as response:  # noqa: S310  # our own
        return Metrics(response.read().decode())
