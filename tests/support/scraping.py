"""Scrapes the metrics of a server process as Prometheus does."""

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.command_line import ServeProcess

_ANNOUNCEMENT = "metrics on "


class Metrics:
    """The metrics of one scrape.

    Attributes:
        kinds: The type of each metric, by its name without `_total`.
        samples: All samples.
    """

    def __init__(self, content: str) -> None:
        families = list(text_string_to_metric_families(content))
        self.kinds = {family.name: family.type for family in families}
        self.samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; 0 without a match."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, label: str) -> set[str]:
        """Return all values of a label, in all metrics."""
        return {sample.labels[label] for sample in self.samples if label in sample.labels}


def metrics_url(served: ServeProcess) -> str:
    """Return the URL of the metrics from the output of the process."""
    [line] = [line for line in served.lines if line.startswith(_ANNOUNCEMENT)]
    return line.removeprefix(_ANNOUNCEMENT)


def scrape(served: ServeProcess) -> Metrics:
    """Read the metrics of a process."""
    with urlopen(metrics_url(served)) as response:  # noqa: S310  # our own server
        return Metrics(response.read().decode())
