"""The settings of the web listener."""

import pytest

from sprocket_grpc.config.production import check_serving
from sprocket_grpc.config.settings import Settings, SettingsError, load_settings
from sprocket_grpc.config.web import web_addresses

pytestmark = pytest.mark.usefixtures("no_settings")

PRODUCTION = {"environment": "production", "database_url": "postgresql://u@/d", "api_keys": True}


@pytest.mark.parametrize("names", ["*", "a.example:80", "http://a", "a,,b", "-a"])
def test_a_name_of_the_server_is_a_host_name(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("SPROCKET_WEB_HOSTS", names)
    with pytest.raises(SettingsError, match="SPROCKET_WEB_HOSTS: expected host names without a port"):
        load_settings()


def test_in_development_ports_of_loopback_are_tried_in_order() -> None:
    assert web_addresses(Settings())[:2] == ["127.0.0.1:8080", "127.0.0.1:8081"]


def test_in_production_a_listener_without_tls_is_on_loopback_only() -> None:
    check_serving(Settings.model_validate(PRODUCTION | {"web_listen": "127.0.0.1:80"}))
    with pytest.raises(SettingsError, match="unless SPROCKET_WEB_LISTEN is a loopback address"):
        check_serving(Settings.model_validate(PRODUCTION | {"web_listen": "0.0.0.0:80"}))
