"""Every setting with its default, accepted values, refused values, and the settings that it requires."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sprocket_grpc.config.settings import SettingsError, load_settings

SECRET = "correct-horse"  # noqa: S105  # a made-up secret, which must not leak  # pragma: allowlist secret
URL = f"postgresql://someone:{SECRET}@db.example:5432/sprockets"

DEFAULTS = {
    "api_keys": False,
    "arrival_limit": 48,
    "arrival_timeout_seconds": 10,
    "call_timeout_seconds": 30,
    "concurrency_limit": 500,
    "connection_age_grace_seconds": 60,
    "connection_age_seconds": 600,
    "connection_stream_limit": 1000,
    "database_prepared_statements": True,
    "database_read_maximum_lag_seconds": 5,
    "database_read_url": None,
    "database_url": None,
    "database_wait_seconds": 30,
    "drain_seconds": None,
    "embedded_binaries": None,
    "embedded_directory": None,
    "environment": "development",
    "expensive_call_limit": None,
    "expensive_call_timeout_seconds": 15,
    "follow_progress_seconds": 10,
    "follow_tick_seconds": 0.2,
    "followed_chart_limit": 100_000,
    "health_interval_seconds": 5,
    "health_limit": 2000,
    "health_listen": None,
    "jwt_audience": None,
    "jwt_issuer": None,
    "jwt_jwks": None,
    "jwt_type": None,
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
    "principal_concurrency_limit": None,
    "principal_stream_limit": None,
    "rate_limit": None,
    "rate_limit_storage": None,
    "reflection": None,
    "request_id_hours": 24,
    "shutdown_grace_seconds": 10,
    "stranger_rate_limit": "100/second",
    "stream_limit": 10_000,
    "tls_certificate": None,
    "tls_client_ca": None,
    "tls_client_common_names": False,
    "tls_client_rights": None,
    "tls_key": None,
    "trace_sample_ratio": 0.05,
}

ACCEPTED: dict[str, dict[str, object]] = {
    "API_KEYS": {"true": True, "false": False},
    "ARRIVAL_LIMIT": {"1": 1, "100000": 100_000},
    "ARRIVAL_TIMEOUT_SECONDS": {"0.1": 0.1, "3600": 3600},
    "CALL_TIMEOUT_SECONDS": {"0.1": 0.1, "3600": 3600},
    "CONCURRENCY_LIMIT": {"1": 1, "100000": 100_000},
    "CONNECTION_AGE_GRACE_SECONDS": {"0.1": 0.1, "86400": 86400},
    "CONNECTION_AGE_SECONDS": {"0.1": 0.1, "604800": 604800},
    "CONNECTION_STREAM_LIMIT": {"1": 1, "100000": 100_000},
    "DATABASE_PREPARED_STATEMENTS": {"true": True, "false": False},
    "DATABASE_READ_MAXIMUM_LAG_SECONDS": {"0.1": 0.1, "3600": 3600},
    "DATABASE_READ_URL": {"postgresql://a/b": SecretStr("postgresql+psycopg://a/b")},
    "DATABASE_WAIT_SECONDS": {"0": 0, "0.5": 0.5, "3600": 3600},
    "DRAIN_SECONDS": {"0": 0, "3600": 3600},
    "EMBEDDED_BINARIES": {"/opt/postgresql/bin": Path("/opt/postgresql/bin")},
    "EMBEDDED_DIRECTORY": {"/data/postgresql": Path("/data/postgresql")},
    "ENVIRONMENT": {text: text for text in ("development", "production")},
    "EXPENSIVE_CALL_LIMIT": {"1": 1, "1000": 1000},
    "EXPENSIVE_CALL_TIMEOUT_SECONDS": {"0.1": 0.1, "3600": 3600},
    "FOLLOW_PROGRESS_SECONDS": {"0.1": 0.1, "3600": 3600},
    "FOLLOW_TICK_SECONDS": {"0.01": 0.01, "60": 60},
    "FOLLOWED_CHART_LIMIT": {"1": 1, "10000000": 10_000_000},
    "HEALTH_INTERVAL_SECONDS": {"0.1": 0.1, "3600": 3600},
    "HEALTH_LIMIT": {"1": 1, "1000000": 1_000_000},
    "HEALTH_LISTEN": {text: text for text in ("0.0.0.0:1", "[::]:0")},
    "JWT_AUDIENCE": {"sprocket": "sprocket"},
    "JWT_ISSUER": {"https://login.example/": "https://login.example/"},
    "JWT_JWKS": {text: text for text in ("/run/keys.json", "keys.json", "https://login.example/keys?v=2")},
    "JWT_TYPE": {"at+jwt": "at+jwt"},
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
    "PRINCIPAL_CONCURRENCY_LIMIT": {"1": 1, "100000": 100_000},
    "PRINCIPAL_STREAM_LIMIT": {"1": 1, "1000000": 1_000_000},
    "RATE_LIMIT": {text: text for text in ("1/second", "100/minute", "5000/10 minutes", "7 per day")},
    "RATE_LIMIT_STORAGE": {
        url: SecretStr(url) for url in ("redis://cache", "rediss://:pw@cache:6379/1", "redis://[::1]:6379")
    },
    "REFLECTION": {"true": True, "false": False},
    "REQUEST_ID_HOURS": {"1": 1, "8760": 8760},
    "SHUTDOWN_GRACE_SECONDS": {"0": 0, "3600": 3600},
    "STRANGER_RATE_LIMIT": {text: text for text in ("1/second", "5000/10 minutes")},
    "STREAM_LIMIT": {"1": 1, "1000000": 1_000_000},
    "TLS_CERTIFICATE": {"/run/tls.crt": Path("/run/tls.crt")},
    "TLS_CLIENT_CA": {"/run/ca.crt": Path("/run/ca.crt")},
    "TLS_CLIENT_COMMON_NAMES": {"true": True, "false": False},
    "TLS_CLIENT_RIGHTS": {
        "uri:spiffe://example/a=b,c=read": {"uri:spiffe://example/a=b,c": ["read"]},
        " dns:a.example = write , force; uri:urn:b=admin ": {
            "dns:a.example": ["write", "force"],
            "uri:urn:b": ["admin"],
        },
        "dns:a=sprocket_types.read,sprockets.write": {"dns:a": ["sprocket_types.read", "sprockets.write"]},
    },
    "TLS_KEY": {"/run/tls.key": Path("/run/tls.key")},
    "TRACE_SAMPLE_RATIO": {"0": 0, "0.01": 0.01, "1": 1},
}

# The settings that a setting requires.
BESIDE = {
    "DATABASE_READ_URL": {"DATABASE_URL": URL},
    "JWT_AUDIENCE": {"JWT_ISSUER": "https://login.example/", "JWT_JWKS": "keys.json"},
    "JWT_ISSUER": {"JWT_AUDIENCE": "sprocket", "JWT_JWKS": "keys.json"},
    "JWT_JWKS": {"JWT_AUDIENCE": "sprocket", "JWT_ISSUER": "https://login.example/"},
    "JWT_TYPE": {"JWT_AUDIENCE": "sprocket", "JWT_ISSUER": "https://login.example/", "JWT_JWKS": "keys.json"},
    "TLS_CERTIFICATE": {"TLS_KEY": "tls.key"},
    "TLS_CLIENT_CA": {"TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"},
    "TLS_CLIENT_COMMON_NAMES": {"TLS_CLIENT_CA": "ca.crt", "TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"},
    "TLS_CLIENT_RIGHTS": {"TLS_CLIENT_CA": "ca.crt", "TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"},
    "TLS_KEY": {"TLS_CERTIFICATE": "tls.crt"},
}

REFUSED = {
    "API_KEYS": ["on the table", "2"],
    "ARRIVAL_LIMIT": ["0", "-1", "100001", "1.5", "many"],
    "ARRIVAL_TIMEOUT_SECONDS": ["0", "-1", "3601", "nan", "inf", "long"],
    "CALL_TIMEOUT_SECONDS": ["0", "-1", "3601", "nan", "inf", "long"],
    "CONCURRENCY_LIMIT": ["0", "-1", "100001", "1.5", "many"],
    "CONNECTION_AGE_GRACE_SECONDS": ["0", "-1", "86401", "nan", "inf", "short"],
    "CONNECTION_AGE_SECONDS": ["0", "-1", "604801", "nan", "inf", "old"],
    "CONNECTION_STREAM_LIMIT": ["0", "-1", "100001", "1.5", "many"],
    "DATABASE_PREPARED_STATEMENTS": ["sometimes"],
    "DATABASE_READ_MAXIMUM_LAG_SECONDS": ["0", "0.09", "3601", "nan", "inf", "little"],
    "DATABASE_READ_URL": ["db.example", "mysql://db.example/sprockets"],
    "DATABASE_WAIT_SECONDS": ["-1", "3601", "nan", "inf", "soon"],
    "DRAIN_SECONDS": ["-1", "3601", "nan", "inf", "later"],
    "ENVIRONMENT": ["Production", "test"],
    "EXPENSIVE_CALL_LIMIT": ["0", "-1", "1001", "1.5", "many"],
    "EXPENSIVE_CALL_TIMEOUT_SECONDS": ["0", "-1", "3601", "nan", "inf", "long"],
    "FOLLOW_PROGRESS_SECONDS": ["0", "-1", "3601", "nan", "inf", "rarely"],
    "FOLLOW_TICK_SECONDS": ["0", "-1", "61", "nan", "inf", "often"],
    "FOLLOWED_CHART_LIMIT": ["0", "-1", "10000001", "1.5", "many"],
    "HEALTH_INTERVAL_SECONDS": ["0", "-1", "3601", "nan", "inf", "often"],
    "HEALTH_LIMIT": ["0", "-1", "1000001", "1.5", "many"],
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
    "PRINCIPAL_CONCURRENCY_LIMIT": ["0", "-1", "100001", "1.5", "many"],
    "PRINCIPAL_STREAM_LIMIT": ["0", "-1", "1000001", "1.5", "many"],
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
    "STRANGER_RATE_LIMIT": ["0/second", "100", "few"],
    "STREAM_LIMIT": ["0", "-1", "1000001", "1.5", "many"],
    "TLS_CLIENT_COMMON_NAMES": ["sometimes"],
    "TLS_CLIENT_RIGHTS": [
        "dns:a",
        "=read",
        "dns:=read",
        "dns:a=",
        "dns:a=read;",
        "dns:a=own",
        "dns:a=read;dns:a=admin",
        "dns:a=sprocket.sprockets.read",
        "dns:a=read,",
        "dns:a=sprockets.own",
        "spiffe://example/a=read",  # of which kind?
        "The Boss=read",
    ],
    "TRACE_SAMPLE_RATIO": ["-0.1", "1.1", "nan", "inf", "5%"],
}


def refusal() -> list[str]:
    """Load the settings, and return the lines of the error."""
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value).splitlines()


def set_beside(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Set the settings that a setting requires."""
    for each, value in BESIDE.get(name.upper(), {}).items():
        monkeypatch.setenv(f"SPROCKET_{each}", value)
