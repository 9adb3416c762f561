"""Prints the alerts as a PrometheusRule, which the Prometheus Operator loads; `make generate` writes it to a file.

The only difference to deploy/prometheus/alerts.yml is the links to runbooks: whoever reads an alert in a chat or on a
pager has no checkout. `python -m tools.prometheus_rule https://git.internal/sprocket-grpc/blob/main/` links to yours.
"""

import textwrap
from pathlib import Path

import click

ALERTS = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yml"

DOCUMENTS = "https://git.example/sprocket-grpc/blob/main/"
"""Where the documents can be read, a name to replace like the others under `example`."""

_HEAD = """\
# Generated from deploy/prometheus/alerts.yml by `make generate`: change it there. For the Prometheus Operator; without
# the operator, remove this file and let Prometheus load alerts.yml. `python -m tools.prometheus_rule URL` links the
# runbooks to your copy of docs/.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sprocket-grpc
  labels:
    app.kubernetes.io/name: sprocket-grpc
    app.kubernetes.io/component: server
spec:
"""


def prometheus_rule(alerts: str, documents: str = DOCUMENTS) -> str:
    """Return rules of Prometheus as a manifest, with links to the runbooks below the URL of the documents."""
    return _HEAD + textwrap.indent(alerts.replace("runbook_url: ", f"runbook_url: {documents}"), "  ")


@click.command()
@click.argument("documents", default=DOCUMENTS)
def main(documents: str) -> None:
    """Print the PrometheusRule; DOCUMENTS is the URL of the repository's root, with a slash at the end."""
    click.echo(prometheus_rule(ALERTS.read_text(), documents), nl=False)


if __name__ == "__main__":
    main()
