"""The network policies let through what the settings need, and nothing else."""

from typing import Any

import pytest

from tests.support.manifests import Manifest, find, labels_hold, port_of, server_policy

pytestmark = pytest.mark.usefixtures("no_settings")

NODE_LOCAL_DNS = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens by default, in the network of the node: no selector of pods matches it."""


def migration_policy(manifests: list[Manifest]) -> Manifest:
    return dict(find(manifests, "NetworkPolicy", "sprocket-grpc-migrate")["spec"])


def test_the_network_policy_allows_ingress_to_grpc_and_metrics_only(manifests: list[Manifest]) -> None:
    rules = server_policy(manifests)["ingress"]
    assert [each["ports"] for each in rules] == [[{"port": "grpc"}], [{"port": "metrics"}]]
    assert all(each["from"] for each in rules)


def test_the_network_policy_allows_egress_only_to_ports_that_the_settings_need(
    in_production: list[Manifest], as_in_pod: Any
) -> None:
    settings = as_in_pod(in_production, find(in_production, "Deployment"))
    allowed = {port["port"] for rule in server_policy(in_production)["egress"] for port in rule["ports"]}
    assert settings.jwt_jwks.startswith("https://login.example/")
    assert allowed == {53, 5432, 443, port_of(settings.otlp_endpoint)}
    assert settings.rate_limit_storage is None  # otherwise the policy would need the port of Redis


def test_the_network_policy_of_the_migration_allows_no_ingress(manifests: list[Manifest]) -> None:
    policy = migration_policy(manifests)
    assert labels_hold(policy["podSelector"]["matchLabels"], find(manifests, "Job")["spec"]["template"])
    assert "Ingress" in policy["policyTypes"]
    assert "ingress" not in policy


@pytest.mark.parametrize("policy", [server_policy, migration_policy])
def test_names_are_resolved_by_pods_of_the_cluster_and_by_caches_of_nodes(
    manifests: list[Manifest], policy: Any
) -> None:
    [rule] = [each for each in policy(manifests)["egress"] if 53 in [port["port"] for port in each["ports"]]]
    assert rule["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        {"ipBlock": {"cidr": NODE_LOCAL_DNS}},
    ]
    assert rule["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
