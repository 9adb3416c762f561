"""Secret settings: they can be read from files, and are never shown."""

import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from sprocket_grpc.config.database_url import describe
from sprocket_grpc.config.settings import SECRETS, Settings, SettingsError, load_settings
from tests.support.setting_values import SECRET, URL, refusal, set_beside

pytestmark = pytest.mark.usefixtures("no_settings")

# A valid and unique value for each secret.
SECRET_VALUES = {
    "database_read_url": f"postgresql+psycopg://someone:{SECRET}@standby.example/sprockets",
    "database_url": f"postgresql+psycopg://someone:{SECRET}@db.example:5432/sprockets",
    "page_token_keys": SECRET * 3,
    "rate_limit_storage": f"redis://:{SECRET}@cache.example:6379/0",
}


def put_into_file(monkeypatch: pytest.MonkeyPatch, directory: Path, name: str, content: str | bytes) -> None:
    """Write a secret to a file, and set the environment variable that names the file."""
    file = directory / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(f"SPROCKET_{name.upper()}_FILE", str(file))


def test_every_secret_can_be_in_a_file() -> None:
    secrets = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secrets
    assert secrets == SECRETS


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no newline", "newline", "newline of Windows"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_a_file_without_the_newline_at_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, end: str
) -> None:
    set_beside(monkeypatch, name)
    put_into_file(monkeypatch, tmp_path, name, SECRET_VALUES[name] + end)
    assert getattr(load_settings(), name) == SecretStr(SECRET_VALUES[name])


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_set_twice_is_refused_with_both_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    set_beside(monkeypatch, name)
    put_into_file(monkeypatch, tmp_path, name, SECRET_VALUES[name])
    monkeypatch.setenv(f"SPROCKET_{name.upper()}", SECRET_VALUES[name])
    variable = f"SPROCKET_{name.upper()}"
    assert refusal() == [f"{variable}_FILE: expected only one of this and {variable}, but both are set"]


def test_an_empty_variable_beside_the_name_of_a_file_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_into_file(monkeypatch, tmp_path, "page_token_keys", SECRET * 3)
    monkeypatch.setenv("SPROCKET_PAGE_TOKEN_KEYS", "")
    monkeypatch.setenv("SPROCKET_DATABASE_URL_FILE", "")
    settings = load_settings()
    assert settings.page_token_keys == SecretStr(SECRET * 3)
    assert settings.database_url is None


@pytest.mark.parametrize("name", SECRETS)
def test_an_unreadable_file_is_refused_by_the_name_of_the_setting_without_the_path(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name.upper()}_FILE", SECRET)  # the secret itself, by mistake
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"SPROCKET_{name.upper()}_FILE: expected the path of a readable file: No such")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("content", [b"", b"\n", SECRET.encode(), SECRET.encode() * 3 + b"\xff"])
def test_a_wrong_content_is_refused_by_the_name_of_the_setting_and_not_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    for name in SECRETS:
        put_into_file(monkeypatch, tmp_path, name, content)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    lines = str(raised.value).splitlines()
    assert [line for line in lines if ": expected " not in line] == []
    variables = [f"SPROCKET_{name.upper()}_FILE" for name in SECRETS]
    assert sorted(line.partition(":")[0] for line in lines) == sorted(variables)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("name", ["LISTEN_FILE", "TLS_KEY_FILE", "DATABASE_FILE_URL"])
def test_a_setting_that_is_not_secret_cannot_be_in_a_file(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    [line] = refusal()
    assert line.startswith(f"SPROCKET_{name}: there is no such setting")


# Secrets are not shown.


def test_secrets_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", URL)
    monkeypatch.setenv("SPROCKET_PAGE_TOKEN_KEYS", SECRET * 3)
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "database_url" in shown
        assert SECRET not in shown


def test_the_password_is_not_in_the_errors_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", SECRET)  # short, because a longer one would be shown in part
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert SECRET not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(
    ("url", "described"),
    [
        (URL, "sprockets on db.example:5432"),
        (f"postgresql://someone:{SECRET}@db.example/sprockets", "sprockets on db.example"),
        (f"postgresql://someone:{SECRET}@/sprockets?host=/run/sockets", "sprockets on /run/sockets"),
        (f"postgresql://db.example/sprockets?user=someone&password={SECRET}", "sprockets on db.example"),
        (f"postgresql://someone:{SECRET}%40more@db.example", "the default database on db.example"),
        ("postgresql:///sprockets", "sprockets on localhost"),
        (f"postgresql://someone:{SECRET}@[::1]:5433/sprockets", "sprockets on [::1]:5433"),
        (f"postgresql://someone:{SECRET}@/sprockets?host=a,::1&port=1,2", "sprockets on a:1, [::1]:2"),
    ],
    ids=["port", "no port", "socket", "in the query", "escaped @", "no host", "address", "several hosts"],
)
def test_a_database_is_described_without_user_and_password(url: str, described: str) -> None:
    assert describe(url) == described
