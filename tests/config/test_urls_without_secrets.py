"""A URL whose password is not percent-encoded is refused, or its password is shown nowhere."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sprocket_grpc.cli.banner import banner
from sprocket_grpc.config.settings import Settings, SettingsError, load_settings
from sprocket_grpc.server.run import Started
from sprocket_grpc.storage.postgres.engine import DatabaseNotReachableError, wait_for_database

pytestmark = pytest.mark.usefixtures("no_settings")

# Nothing that is printed has these letters, so that a part of the password is found wherever it is.
PASSWORDS = st.text("QXZJ@/?#:%&=,[]; ", min_size=8, max_size=24)

URLS = {
    "DATABASE_URL": "postgresql://someone:{}@127.0.0.1:1/sprockets",
    "RATE_LIMIT_STORAGE": "redis://:{}@127.0.0.1:1/0",
    "OTLP_ENDPOINT": "http://{}@127.0.0.1:1",
    "JWT_JWKS": "https://someone:{}@127.0.0.1:1/keys",
}


def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Yield what a server with the settings of this environment shows."""
    try:
        loaded = load_settings()
    except SettingsError as error:
        yield str(error)
        return
    yield repr(loaded)
    if loaded.database_url:
        url = loaded.database_url.get_secret_value()
        banner(loaded, url)(Started(1, None, None, None))
        yield capsys.readouterr().out
        with pytest.raises(DatabaseNotReachableError) as raised:
            wait_for_database(url, 0)
        yield str(raised.value)


@pytest.mark.parametrize("name", URLS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=PASSWORDS)
@example("QXZJ@QXZJQXZJ")
@example("QXZJ/QXZJ@QXZJ")
@example("QX@ZJ/QXZJQXZJ")
@example("QX?ZJ@QXZJQXZJ")
@example("@QXZJQXZJ")
def test_no_part_of_a_password_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, password: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", URLS[name].format(password))
    parts = {password[start : start + 4] for start in range(len(password) - 3)}
    revealing = {part for part in parts if set(part) & set("QXZJ")}
    output = "\n".join(shown(capsys))
    assert not [part for part in revealing if part in output]


def test_a_password_that_is_percent_encoded_is_accepted() -> None:
    url = "postgresql://someone:%40%2F%3F%3A%23@db.example/sprockets"  # pragma: allowlist secret
    assert Settings.model_validate({"database_url": url}).database_url
