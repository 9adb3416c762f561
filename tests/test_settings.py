"""The settings: what they are by default, what they may be, and how a wrong one is told without giving secrets away."""

import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import make_url

from sprocket_grpc.database_url import connect_arguments, describe, normalise, split_by_hosts
from sprocket_grpc.settings import SECRETS, Settings, SettingsError, load_settings
from sprocket_grpc.variables import CLIENT_VARIABLES

SECRET = "correct-horse"  # noqa: S105  # nobody's; it is looked for where it must not be  # pragma: allowlist secret
URL = f"postgresql://someone:{SECRET}@db.example:5432/sprockets"

DEFAULTS = {
    "api_keys": False,
    "call_timeout_seconds": 30,
    "concurrency_limit": 500,
    "connection_age_grace_seconds": 60,
    "connection_age_seconds": 600,
    "database_prepared_statements": True,
    "database_read_maximum_lag_seconds": 5,
    "database_read_url": None,
    "database_url": None,
    "database_wait_seconds": 30,
    "drain_seconds": None,
    "embedded_binaries": None,
    "embedded_directory": None,
    "environment": "development",
    "follow_progress_seconds": 10,
    "follow_tick_seconds": 0.2,
    "health_interval_seconds": 5,
    "health_listen": None,
    "jwt_audience": None,
    "jwt_issuer": None,
    "jwt_jwks": None,
    "listen": "127.0.0.1:50051",
    "log_format": "auto",
    "log_level": "INFO",
    "message_bytes_maximum": 4 << 20,
    "metrics_listen": None,
    "otlp_endpoint": None,
    "page_size_default": 50,
    "page_size_maximum": 1000,
    "page_token_keys": None,
    "pool_size": 10,
    "pool_timeout_seconds": 5,
    "rate_limit": None,
    "rate_limit_storage": None,
    "reflection": None,
    "request_id_hours": 24,
    "shutdown_grace_seconds": 10,
    "stream_limit": 10_000,
    "tls_certificate": None,
    "tls_client_ca": None,
    "tls_client_rights": None,
    "tls_key": None,
    "trace_sample_ratio": 0.05,
}

ACCEPTED: dict[str, dict[str, object]] = {
    "API_KEYS": {"true": True, "false": False},
    "CALL_TIMEOUT_SECONDS": {"0.1": 0.1, "3600": 3600},
    "CONCURRENCY_LIMIT": {"1": 1, "100000": 100_000},
    "CONNECTION_AGE_GRACE_SECONDS": {"0.1": 0.1, "86400": 86400},
    "CONNECTION_AGE_SECONDS": {"0.1": 0.1, "604800": 604800},
    "DATABASE_PREPARED_STATEMENTS": {"true": True, "false": False},
    "DATABASE_READ_MAXIMUM_LAG_SECONDS": {"0.1": 0.1, "3600": 3600},
    "DATABASE_READ_URL": {"postgresql://a/b": SecretStr("postgresql+psycopg://a/b")},
    "DATABASE_WAIT_SECONDS": {"0": 0, "0.5": 0.5, "3600": 3600},
    "DRAIN_SECONDS": {"0": 0, "3600": 3600},
    "EMBEDDED_BINARIES": {"/opt/postgresql/bin": Path("/opt/postgresql/bin")},
    "EMBEDDED_DIRECTORY": {"/data/postgresql": Path("/data/postgresql")},
    "ENVIRONMENT": {text: text for text in ("development", "production")},
    "FOLLOW_PROGRESS_SECONDS": {"0.1": 0.1, "3600": 3600},
    "FOLLOW_TICK_SECONDS": {"0.01": 0.01, "60": 60},
    "HEALTH_INTERVAL_SECONDS": {"0.1": 0.1, "3600": 3600},
    "HEALTH_LISTEN": {text: text for text in ("0.0.0.0:1", "[::]:0")},
    "JWT_AUDIENCE": {"sprocket": "sprocket"},
    "JWT_ISSUER": {"https://login.example/": "https://login.example/"},
    "JWT_JWKS": {text: text for text in ("/run/keys.json", "keys.json", "https://login.example/keys?v=2")},
    "LISTEN": {text: text for text in ("0.0.0.0:1", "[::]:65535", "[::1]:50051", "localhost:0", "a.b-c.example:80")},
    "LOG_FORMAT": {text: text for text in ("auto", "json", "text")},
    "LOG_LEVEL": {text: text for text in ("DEBUG", "INFO", "WARNING", "ERROR")},
    "MESSAGE_BYTES_MAXIMUM": {"1024": 1024, "67108864": 64 << 20},
    "METRICS_LISTEN": {text: text for text in ("0.0.0.0:9464", "[::]:0")},
    "OTLP_ENDPOINT": {
        text: text for text in ("http://127.0.0.1:4317", "https://collector.example:443", "http://[::1]:1")
    },
    "PAGE_SIZE_DEFAULT": {"1": 1, "1000": 1000},
    "PAGE_SIZE_MAXIMUM": {"50": 50, "1000": 1000},
    "POOL_SIZE": {"1": 1, "1000": 1000},
    "POOL_TIMEOUT_SECONDS": {"0.01": 0.01, "3600": 3600},
    "PAGE_TOKEN_KEYS": {keys: SecretStr(keys) for keys in ("a" * 32, f"{'a' * 40},{'b' * 32}")},
    "RATE_LIMIT": {text: text for text in ("1/second", "100/minute", "5000/10 minutes", "7 per day")},
    "RATE_LIMIT_STORAGE": {
        url: SecretStr(url) for url in ("redis://cache", "rediss://:pw@cache:6379/1", "redis://[::1]:6379")
    },
    "REFLECTION": {"true": True, "false": False},
    "REQUEST_ID_HOURS": {"1": 1, "8760": 8760},
    "SHUTDOWN_GRACE_SECONDS": {"0": 0, "3600": 3600},
    "STREAM_LIMIT": {"1": 1, "1000000": 1_000_000},
    "TLS_CERTIFICATE": {"/run/tls.crt": Path("/run/tls.crt")},
    "TLS_CLIENT_CA": {"/run/ca.crt": Path("/run/ca.crt")},
    "TLS_CLIENT_RIGHTS": {
        "spiffe://example/a=b,c=read": {"spiffe://example/a=b,c": "read"},
        " a.example = write; The Boss=admin ": {"a.example": "write", "The Boss": "admin"},
    },
    "TLS_KEY": {"/run/tls.key": Path("/run/tls.key")},
    "TRACE_SAMPLE_RATIO": {"0": 0, "0.01": 0.01, "1": 1},
}

# What a setting makes no sense without.
BESIDE = {
    "DATABASE_READ_URL": {"DATABASE_URL": URL},
    "JWT_AUDIENCE": {"JWT_ISSUER": "https://login.example/", "JWT_JWKS": "keys.json"},
    "JWT_ISSUER": {"JWT_AUDIENCE": "sprocket", "JWT_JWKS": "keys.json"},
    "JWT_JWKS": {"JWT_AUDIENCE": "sprocket", "JWT_ISSUER": "https://login.example/"},
    "TLS_CERTIFICATE": {"TLS_KEY": "tls.key"},
    "TLS_CLIENT_CA": {"TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"},
    "TLS_CLIENT_RIGHTS": {"TLS_CLIENT_CA": "ca.crt", "TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"},
    "TLS_KEY": {"TLS_CERTIFICATE": "tls.crt"},
}

REFUSED = {
    "API_KEYS": ["on the table", "2"],
    "CALL_TIMEOUT_SECONDS": ["0", "-1", "3601", "nan", "inf", "long"],
    "CONCURRENCY_LIMIT": ["0", "-1", "100001", "1.5", "many"],
    "CONNECTION_AGE_GRACE_SECONDS": ["0", "-1", "86401", "nan", "inf", "short"],
    "CONNECTION_AGE_SECONDS": ["0", "-1", "604801", "nan", "inf", "old"],
    "DATABASE_PREPARED_STATEMENTS": ["sometimes"],
    "DATABASE_READ_MAXIMUM_LAG_SECONDS": ["0", "0.09", "3601", "nan", "inf", "little"],
    "DATABASE_READ_URL": ["db.example", "mysql://db.example/sprockets"],
    "DATABASE_WAIT_SECONDS": ["-1", "3601", "nan", "inf", "soon"],
    "DRAIN_SECONDS": ["-1", "3601", "nan", "inf", "later"],
    "ENVIRONMENT": ["Production", "test"],
    "FOLLOW_PROGRESS_SECONDS": ["0", "-1", "3601", "nan", "inf", "rarely"],
    "FOLLOW_TICK_SECONDS": ["0", "-1", "61", "nan", "inf", "often"],
    "HEALTH_INTERVAL_SECONDS": ["0", "-1", "3601", "nan", "inf", "often"],
    "HEALTH_LISTEN": ["50052", "host:65536"],
    "JWT_JWKS": ["http://login.example/keys", "ftp://a.example/b", "https://", "file:///keys.json"],
    "LISTEN": ["50051", ":50051", "host:", "host:65536", "host:http", "::1:50051", "a b:1", "http://host:1", "a:1:2"],
    "LOG_FORMAT": ["xml", "JSON"],
    "LOG_LEVEL": ["CHATTY", "20"],
    "MESSAGE_BYTES_MAXIMUM": ["0", "1023", "67108865", "1.5", "4MB"],
    "METRICS_LISTEN": ["9464", "host:65536"],
    "OTLP_ENDPOINT": ["collector:4317", "http://", "http://collector", "grpc://collector:4317", "http://a:1/v1/traces"],
    "PAGE_SIZE_DEFAULT": ["0", "-1", "1001", "1.5", "many"],
    "PAGE_SIZE_MAXIMUM": ["0", "-1", "1001", "1.5", "all"],
    "POOL_SIZE": ["0", "-1", "1001", "1.5", "large"],
    "POOL_TIMEOUT_SECONDS": ["0", "-1", "3601", "nan", "inf", "never"],
    "PAGE_TOKEN_KEYS": ["a" * 31, f"{'a' * 32},", f"{'a' * 32},b"],
    "RATE_LIMIT": ["0/second", "-1/second", "100", "100/blink", "1.5/second", "1/second;9/hour", "few"],
    "RATE_LIMIT_STORAGE": [
        "cache:6379",
        "memory://",
        "redis:/cache",
        "redis://cache:port",
        "redis://:pw@",
        "mongodb://a",
    ],
    "REFLECTION": ["perhaps"],
    "REQUEST_ID_HOURS": ["0", "-1", "8761", "1.5", "for ever"],
    "SHUTDOWN_GRACE_SECONDS": ["-1", "3601", "nan", "inf", "long"],
    "STREAM_LIMIT": ["0", "-1", "1000001", "1.5", "many"],
    "TLS_CLIENT_RIGHTS": ["a", "=read", "a=", "a=read;", "a=own", "a=read;a=admin", "a=sprocket.read"],
    "TRACE_SAMPLE_RATIO": ["-0.1", "1.1", "nan", "inf", "5%"],
}

# What is right for each secret, and could be none of the others.
SECRET_VALUES = {
    "database_read_url": f"postgresql+psycopg://someone:{SECRET}@standby.example/sprockets",
    "database_url": f"postgresql+psycopg://someone:{SECRET}@db.example:5432/sprockets",
    "page_token_keys": SECRET * 3,
    "rate_limit_storage": f"redis://:{SECRET}@cache.example:6379/0",
}

# What Kubernetes sets for a Service of the namespace, with the values it gives them (kubernetes.io, "Service").
SERVICE_LINKS = {
    "SERVICE_HOST": "10.0.0.11",
    "SERVICE_PORT": "50051",
    "SERVICE_PORT_GRPC": "50051",
    "PORT": "tcp://10.0.0.11:50051",
    "PORT_50051_TCP": "tcp://10.0.0.11:50051",
    "PORT_50051_TCP_PROTO": "tcp",
    "PORT_50051_TCP_PORT": "50051",
    "PORT_50051_TCP_ADDR": "10.0.0.11",
    "PORT_53_UDP_ADDR": "10.0.0.11",
    "PORT_9_SCTP": "sctp://10.0.0.11:9",
}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SPROCKET_")]:
        monkeypatch.delenv(name)


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Make the parameters of a test from a table of settings and their values."""
    return [(name, value) for name, values in table.items() for value in values]


def refusal() -> list[str]:
    """Load the settings, and return the lines of the refusal."""
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value).splitlines()


def put_into_file(monkeypatch: pytest.MonkeyPatch, directory: Path, name: str, content: str | bytes) -> None:
    """Put a secret into a file, and name the file in the environment."""
    file = directory / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(f"SPROCKET_{name.upper()}_FILE", str(file))


# What is accepted.


def test_every_setting_has_its_documented_default() -> None:
    assert load_settings().model_dump() == DEFAULTS


def test_every_setting_is_tried_here() -> None:
    assert {name.lower() for name in ACCEPTED} == DEFAULTS.keys() - {"database_url"}


@pytest.mark.parametrize(("name", "value"), pairs({name: list(values) for name, values in ACCEPTED.items()}))
def test_a_value_within_the_bounds_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for each, set_to in (BESIDE.get(name, {}) | {name: value}).items():
        monkeypatch.setenv(f"SPROCKET_{each}", set_to)
    assert getattr(load_settings(), name.lower()) == ACCEPTED[name][value]


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name.upper()}", "")
    assert getattr(load_settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_common_scheme_of_a_database_url_is_taken(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", URL.replace("postgresql", scheme))
    url = load_settings().database_url
    assert url
    assert url.get_secret_value() == URL.replace("postgresql", "postgresql+psycopg")


@pytest.mark.parametrize(
    "given",
    [
        "someone:{}@a.example:5433,b.example/sprockets?sslmode=require",
        "someone:{}@/sprockets?sslmode=require&host=a.example:5433&host=b.example",
        "someone:{}@/sprockets?host=a.example,b.example&sslmode=require&port=5433,5432",
    ],
    ids=["as libpq", "as SQLAlchemy", "as psycopg"],
)
def test_several_hosts_may_be_named_in_all_common_ways(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", f"postgresql://{given.format(SECRET)}")
    url = load_settings().database_url
    assert url
    arguments = make_url(url.get_secret_value())
    assert (arguments.username, arguments.password, arguments.database) == ("someone", SECRET, "sprockets")
    assert arguments.query == {"host": "a.example,b.example", "port": "5433,5432", "sslmode": "require"}
    assert describe(url.get_secret_value()) == "sprockets on a.example:5433, b.example:5432"
    assert [describe(each) for each in split_by_hosts(url.get_secret_value())] == [
        "sprockets on a.example:5433",
        "sprockets on b.example:5432",
    ]


def test_of_several_hosts_the_one_that_can_be_written_to_is_used_unless_the_url_says_otherwise() -> None:
    two = normalise("postgresql://a.example,b.example/sprockets")
    assert connect_arguments(two)["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in connect_arguments(f"{two}&target_session_attrs=any")
    assert "target_session_attrs" not in connect_arguments("postgresql+psycopg://a.example/sprockets")


def test_what_a_url_says_of_connections_counts() -> None:
    assert connect_arguments("postgresql+psycopg://a.example/sprockets")["connect_timeout"] == 5
    assert "connect_timeout" not in connect_arguments("postgresql+psycopg://a.example/sprockets?connect_timeout=9")


def test_the_variables_of_clients_do_not_disturb_a_server_but_a_misspelt_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CLIENT_VARIABLES:
        monkeypatch.setenv(name, SECRET)
    load_settings()
    monkeypatch.setenv("SPROCKET_CLIENT_TLSCA", SECRET)
    assert refusal() == ["SPROCKET_CLIENT_TLSCA: there is no such setting; did you mean SPROCKET_CLIENT_TLS_CA?"]


@pytest.mark.parametrize("service", ["SPROCKET", "SPROCKET_GRPC", "SPROCKET_GRPC_V2"])
def test_the_service_links_of_kubernetes_are_no_settings(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    for name, value in SERVICE_LINKS.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings().model_dump() == DEFAULTS


# What is refused.


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_a_wrong_value_is_refused_by_name_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", value)
    [line] = refusal()
    assert line.startswith(f"SPROCKET_{name}: expected ")


@pytest.mark.parametrize("name", [*REFUSED, "DATABASE_URL"])
def test_a_refusal_never_tells_the_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_default_page_over_the_largest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_PAGE_SIZE_DEFAULT", "21")
    monkeypatch.setenv("SPROCKET_PAGE_SIZE_MAXIMUM", "20")
    assert refusal() == ["SPROCKET_PAGE_SIZE_DEFAULT: expected at most SPROCKET_PAGE_SIZE_MAXIMUM"]


@pytest.mark.parametrize("name", BESIDE)
def test_half_of_what_belongs_together_is_refused_with_the_name_of_the_other(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", next(iter(ACCEPTED[name])))
    lines = refusal()
    assert lines
    for line in lines:
        missing, _, rest = line.removeprefix("SPROCKET_").partition(":")
        assert missing in BESIDE[name]
        assert rest == f" expected beside SPROCKET_{name}"


def test_reflection_is_for_development_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().reflects
    monkeypatch.setenv("SPROCKET_ENVIRONMENT", "production")
    assert not load_settings().reflects
    monkeypatch.setenv("SPROCKET_REFLECTION", "true")
    assert load_settings().reflects


@pytest.mark.parametrize(
    ("name", "meant"),
    [("POOL_SISE", "POOL_SIZE"), ("POOL_SIZE_X", "POOL_SIZE"), ("DATABASE_URI", "DATABASE_URL"), ("LSTEN", "LISTEN")],
)
def test_a_misspelt_setting_is_refused_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    assert refusal() == [f"SPROCKET_{name}: there is no such setting; did you mean SPROCKET_{meant}?"]


def test_a_setting_unlike_any_other_is_refused_without_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_QQQQQQQQQQQQQQQQ", "1")
    assert refusal() == ["SPROCKET_QQQQQQQQQQQQQQQQ: there is no such setting"]


@pytest.mark.parametrize("name", ["SPROCKET_PORT", "SPROCKET_LISTEN_PORT"])
def test_a_port_that_a_person_set_is_not_taken_for_a_service_link(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "8080")  # Kubernetes would say tcp://10.0.0.11:8080
    assert refusal()[0].startswith(f"{name}: there is no such setting")


def test_everything_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POOL_SIZE", "LISTEN", "DATABASE_URL", "POOL_SISE", "LOG_LEVL"):
        monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    names = sorted(line.partition(":")[0].removeprefix("SPROCKET_") for line in refusal())
    assert names == ["DATABASE_URL", "LISTEN", "LOG_LEVL", "POOL_SISE", "POOL_SIZE"]


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"mysql://someone:{SECRET}@db.example/sprockets",
        f"postgresql+asyncpg://someone:{SECRET}@db.example/sprockets",
        f"postgresql:/someone:{SECRET}@db.example/sprockets",
        f"postgresql://someone:{SECRET}@db.example:port/sprockets",
        f"postgresql://someone:{SECRET}@[::1/sprockets",
        f"postgresql://someone:half@{SECRET}@db.example/sprockets",
        f"postgresql://someone:half@{SECRET}@a.example,b.example/sprockets",
        f"postgresql://someone:{SECRET}@a.example,,b.example/sprockets",
        f"postgresql://someone:{SECRET}@a.example,b.example,/sprockets",
        f"postgresql://someone:{SECRET}@a.example,b.example:port/sprockets",
        f"postgresql://someone:{SECRET}@/sprockets?host=a.example,b.example&port=1,2,3",
    ],
    ids=[
        "no url",
        "other database",
        "other driver",
        "one slash",
        "port of letters",
        "open bracket",
        "bare @",
        "bare @ before several hosts",
        "no host between commas",
        "no host after a comma",
        "port of letters of several",
        "more ports than hosts",
    ],
)
def test_a_wrong_database_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", url)
    assert refusal() == ["SPROCKET_DATABASE_URL: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"]


# What is in files.


def set_beside(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Set what a setting makes no sense without."""
    for each, value in BESIDE.get(name.upper(), {}).items():
        monkeypatch.setenv(f"SPROCKET_{each}", value)


def test_every_secret_may_be_in_a_file() -> None:
    secrets = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secrets
    assert secrets == SECRETS


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no newline", "newline", "newline of Windows"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_the_file_that_is_named_without_the_newline_at_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, end: str
) -> None:
    set_beside(monkeypatch, name)
    put_into_file(monkeypatch, tmp_path, name, SECRET_VALUES[name] + end)
    assert getattr(load_settings(), name) == SecretStr(SECRET_VALUES[name])


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_given_twice_is_refused_with_both_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    set_beside(monkeypatch, name)
    put_into_file(monkeypatch, tmp_path, name, SECRET_VALUES[name])
    monkeypatch.setenv(f"SPROCKET_{name.upper()}", SECRET_VALUES[name])
    variable = f"SPROCKET_{name.upper()}"
    assert refusal() == [f"{variable}_FILE: expected without {variable}, which is set too"]


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
def test_a_file_that_cannot_be_read_is_refused_by_name_and_its_path_is_not_told(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name.upper()}_FILE", SECRET)  # the secret itself, by mistake
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"SPROCKET_{name.upper()}_FILE: expected the path of a file to read: No such")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("content", [b"", b"\n", SECRET.encode(), SECRET.encode() * 3 + b"\xff"])
def test_a_wrong_content_is_refused_by_the_name_of_the_setting_and_not_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    for name in SECRETS:
        put_into_file(monkeypatch, tmp_path, name, content)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    told = str(raised.value).splitlines()
    assert [line for line in told if ": expected " not in line] == []
    wrong = [f"SPROCKET_{name.upper()}_FILE" for name in SECRETS]
    assert sorted(line.partition(":")[0] for line in told) == sorted(wrong)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("name", ["LISTEN_FILE", "TLS_KEY_FILE", "DATABASE_FILE_URL"])
def test_what_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    [line] = refusal()
    assert line.startswith(f"SPROCKET_{name}: there is no such setting")


# What is kept secret.


def test_secrets_are_not_in_the_settings_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", URL)
    monkeypatch.setenv("SPROCKET_PAGE_TOKEN_KEYS", SECRET * 3)
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "database_url" in shown
        assert SECRET not in shown


def test_the_password_is_not_in_the_errors_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", SECRET)  # short, for a longer one would be shown in part
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
