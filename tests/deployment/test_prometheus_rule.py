"""The alerts for the Prometheus Operator, and the objective that some of them are about."""

import re

from tests import ROOT
from tests.support.documents import anchors
from tests.support.manifests import KUBERNETES, Manifest, find, load_yaml
from tools.prometheus_rule import ALERTS, DOCUMENTS, prometheus_rule

OBJECTIVE = (ROOT / "docs" / "slo.md").read_text()
[RULES] = load_yaml(ALERTS.read_text())
FIELDS = {"record", "alert", "expr", "for", "labels", "annotations"}
"""The fields of a rule: checked by hand, because the schema of a PrometheusRule is not available."""


def burn_rate_alerts() -> dict[str, str]:
    """Return the expressions of the alerts about the objective, by name."""
    alerts = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
    return {each["alert"]: each["expr"] for each in alerts if "sprocket_failures" in each["expr"]}


def test_the_prometheus_rule_is_up_to_date_with_the_alerts() -> None:
    committed = (KUBERNETES / "base" / "prometheus-rule.yaml").read_text()
    assert committed == prometheus_rule(ALERTS.read_text()), "run make generate"


def test_the_prometheus_rule_has_the_rules_of_the_alerts_with_absolute_links(manifests: list[Manifest]) -> None:
    rule = find(manifests, "PrometheusRule")["spec"]
    assert rule.keys() == {"groups"}
    for group in rule["groups"]:
        assert group.keys() == {"name", "rules"}
        for each in group["rules"]:
            assert each.keys() <= FIELDS
            if "alert" in each:
                link = each["annotations"]["runbook_url"]
                assert link.startswith(DOCUMENTS)
                each["annotations"]["runbook_url"] = link.removeprefix(DOCUMENTS)
    assert rule["groups"] == RULES["groups"]


def test_the_links_of_the_prometheus_rule_lead_to_runbooks() -> None:
    [rule] = load_yaml(prometheus_rule(ALERTS.read_text(), "https://git.sprocket.internal/docs/tree/"))
    links = re.findall(r"https://git\.sprocket\.internal/docs/tree/([\w./]+)#(\w+)", str(rule))
    assert len(links) == sum("alert" in each for group in RULES["groups"] for each in group["rules"])
    for path, fragment in links:
        assert fragment in anchors((ROOT / path).read_text())


def test_kube_prometheus_stack_selects_what_production_has_for_it(in_production: list[Manifest]) -> None:
    """By default it selects by the label `release`, with the name of its own Helm release."""
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert find(in_production, kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"


# The objective.


def test_the_page_about_the_objective_has_the_burn_rates_and_windows_of_the_alerts() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\([^)]+\) \| ([\d.]+) \| (\w+) \| (\w+) \|", OBJECTIVE, re.MULTILINE)
    ratio = "job:sprocket_failures:ratio"
    assert burn_rate_alerts() == {
        name: f"{ratio}{long} > {rate} * 0.001 and {ratio}{short} > {rate} * 0.001" for name, rate, long, short in rows
    }
    assert [rate for _, rate, _, _ in rows] == ["14.4", "6", "1"]


def test_the_page_about_the_objective_computes_what_a_burn_rate_costs() -> None:
    """The part of the budget of 30 days that is gone when an alert fires is its rate times its long window."""
    rows = re.findall(r"^\| \[\w+\]\([^)]+\) \| ([\d.]+) \| (\d+)([hd]) \| \w+ \| (\d+) % \|", OBJECTIVE, re.MULTILINE)
    assert len(rows) == len(burn_rate_alerts())
    for rate, length, unit, share in rows:
        days = int(length) / (24 if unit == "h" else 1)
        assert round(float(rate) * days / 30 * 100) == int(share)
