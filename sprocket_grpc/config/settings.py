"""The settings of the service: typed, read from SPROCKET_* environment variables, and validated once."""

import os
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from sprocket_grpc.config import validators
from sprocket_grpc.config.environment import CLIENT_VARIABLES, PREFIX, unknown_variables
from sprocket_grpc.config.web_settings import WebSettings
from sprocket_grpc.errors import ExpectedError

_FILE = "_FILE"

_REQUIRED_TOGETHER = {
    "database_read_url": ["database_url"],
    "jwt_audience": ["jwt_issuer", "jwt_jwks"],
    "jwt_issuer": ["jwt_audience", "jwt_jwks"],
    "jwt_jwks": ["jwt_audience", "jwt_issuer"],
    "jwt_type": ["jwt_jwks"],
    "tls_certificate": ["tls_key"],
    "tls_client_ca": ["tls_certificate"],
    "tls_client_common_names": ["tls_client_ca"],
    "tls_client_rights": ["tls_client_ca"],
    "tls_key": ["tls_certificate"],
}


class SettingsError(ExpectedError):
    """A setting is invalid or unknown. The text has one line per setting: what is expected, but never the value."""


class Settings(WebSettings):
    """The settings. Every field is read from the variable SPROCKET_ followed by its name in capitals.

    A SecretStr may be read from a file instead: SPROCKET_DATABASE_URL_FILE is the path of a file with the URL.

    Attributes:
        api_keys: Whether callers may authenticate with an API key.
        arrival_limit: The largest number of requests that are received at a time: further ones wait, unread. They can
            have `message_bytes_maximum` each. An authenticated caller has a quarter of it at most.
        arrival_timeout_seconds: The longest time from the headers of a call to its whole request.
        audit_retention_days: The age in days at which entries of the audit log expire; their partitions are dropped by
            whole months. `migrate` records it as the fewest days that any server may keep them. By default, never.
        call_timeout_seconds: The longest duration of a call, even if the deadline of the client is later.
        chart_retention_days: The age in days at which entries of charts expire, but for the one that is in force then.
            It is recorded as `audit_retention_days` is. By default, never.
        concurrency_limit: The largest number of concurrent calls, not counting streams.
        connection_age_seconds: The age after which the server closes a connection, so that clients find new replicas.
        connection_age_grace_seconds: The time that calls on such a connection have to finish.
        connection_stream_limit: The largest number of calls at a time on one connection. More wait in the client.
        database_prepared_statements: Whether to prepare statements, which some poolers do not support.
        database_read_maximum_lag_seconds: The largest replication lag of standbys that are read from.
        database_read_url: Standbys for calls without side effects, used while their lag is small enough.
        database_url: The PostgreSQL to use. By default, the service runs an embedded PostgreSQL.
        database_wait_seconds: How long to wait at the start for the database to answer.
        drain_seconds: How long the server accepts calls after SIGTERM, so that load balancers notice that it stops.
            By default, 5 in production and 0 in development.
        embedded_directory: The directory in which the embedded PostgreSQL keeps its data between runs.
        embedded_binaries: The directory of the programs of the embedded PostgreSQL, such as initdb.
        environment: `production` rejects settings that are convenient but unsafe.
        expensive_call_limit: The largest number of connections to the database that expensive calls have at a time:
            counts, filters, summaries, large batches and cascades. By default, three quarters of `pool_size`.
        expensive_call_timeout_seconds: The longest time that the database works on one of them.
        follow_progress_seconds: The longest time without a response on a stream that follows a chart.
        follow_tick_seconds: The interval at which followed charts are polled for new entries, at most half of
            `follow_progress_seconds`.
        followed_chart_limit: The largest number of charts that all streams together follow: 1.5 kB for each. A caller
            may have half of it.
        health_interval_seconds: The interval between health checks of the database.
        health_limit: The largest number of health checks, and that of health watches, at a time: 23 kB for each watch.
            One network address has half of it at most.
        health_listen: The address of a second listener, without TLS, that serves only health checks.
        jwt_audience: The `aud` claim that bearer tokens must have.
        jwt_issuer: The `iss` claim that bearer tokens must have.
        jwt_jwks: The public keys of the issuer: a file, or an https URL.
        jwt_type: The `typ` that the headers of bearer tokens must have, such as `at+jwt`. By default, any.
        listen: The address to serve on. Port 0 selects a free port.
        log_format: The format of log lines. `auto` is text on a terminal and JSON elsewhere.
        log_level: The lowest level that is logged.
        message_bytes_maximum: The largest request in bytes.
        metrics_listen: The address where Prometheus scrapes the metrics. By default, metrics are not served.
        otlp_endpoint: The URL of the collector to which traces and metrics are sent. By default, nothing is sent.
        page_size_default: The number of resources that a List returns if the request has no page_size.
        page_size_maximum: The largest number of resources that a List returns.
        page_token_keys: Secrets that encrypt and authenticate page and resume tokens, shared by all replicas and
            separated by commas. The first one encrypts, all of them decrypt. By default, a key in the database is used.
        pool_size: The largest number of connections to the database.
        pool_timeout_seconds: How long a request waits for a connection from the pool.
        principal_concurrency_limit: The largest number of concurrent calls of one caller, not counting streams. By
            default, half of `concurrency_limit`.
        principal_stream_limit: The largest number of concurrent streams of one caller. By default, half of
            `stream_limit`.
        rate_limit: The rate limit per caller, such as `100/second`. By default, there is no limit.
        rate_limit_storage: The Redis in which all replicas count calls together. By default, each replica counts alone.
        reflection: Whether reflection is served. By default, only in development.
        request_id_hours: How long request_ids are kept.
        shutdown_grace_seconds: How long calls in flight may take to finish after draining.
        stranger_rate_limit: The rate of calls from one network address that may fail authentication.
        stream_limit: The largest number of concurrent streams.
        tls_certificate: The certificate chain of the server, in PEM. Turns TLS on.
        tls_client_ca: The root certificates for client certificates, in PEM. Makes client certificates mandatory.
        tls_client_common_names: Whether a client certificate with neither a URI nor a DNS name is identified by its
            common name.
        tls_client_rights: The permissions of clients, by the identities in their certificates.
        tls_key: The private key of the server's certificate, in PEM.
        trace_sample_ratio: The share of calls to trace among those whose caller did not decide.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=False,  # else every start imports the library that parses rates
    )

    api_keys: bool = False
    arrival_limit: int = Field(default=48, ge=1, le=100_000)
    arrival_timeout_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    audit_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    call_timeout_seconds: float = Field(default=30, gt=0, le=3600, allow_inf_nan=False)
    chart_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    concurrency_limit: int = Field(default=500, ge=1, le=100_000)
    connection_age_seconds: float = Field(default=600, gt=0, le=7 * 86400, allow_inf_nan=False)
    connection_age_grace_seconds: float = Field(default=60, gt=0, le=86400, allow_inf_nan=False)
    connection_stream_limit: int = Field(default=1000, ge=1, le=100_000)
    database_prepared_statements: bool = True
    database_read_maximum_lag_seconds: float = Field(default=5, ge=0.1, le=3600, allow_inf_nan=False)
    database_read_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_wait_seconds: float = Field(default=30, ge=0, le=3600, allow_inf_nan=False)
    drain_seconds: float | None = Field(default=None, ge=0, le=3600, allow_inf_nan=False)
    embedded_directory: Path | None = None
    embedded_binaries: Path | None = None
    environment: Literal["development", "production"] = "development"
    expensive_call_limit: int | None = Field(default=None, ge=1, le=1000)
    expensive_call_timeout_seconds: float = Field(default=15, gt=0, le=3600, allow_inf_nan=False)
    # Less than the contract promises (15 s and 250 ms), to leave time for reading and sending.
    follow_progress_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    follow_tick_seconds: float = Field(default=0.2, gt=0, le=60, allow_inf_nan=False)
    followed_chart_limit: int = Field(default=100_000, ge=1, le=10_000_000)
    health_interval_seconds: float = Field(default=2, gt=0, le=3600, allow_inf_nan=False)
    health_limit: int = Field(default=2000, ge=1, le=1_000_000)
    health_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_jwks: Annotated[str, AfterValidator(validators.key_source)] | None = None
    jwt_type: str | None = None
    listen: Annotated[str, AfterValidator(validators.address)] = "127.0.0.1:50051"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    message_bytes_maximum: int = Field(default=4 << 20, ge=1024, le=64 << 20)
    metrics_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    otlp_endpoint: Annotated[str, AfterValidator(validators.collector_url)] | None = None
    # A location has at most 2.9 kB on the wire, so 1,000 of them fit into the 4 MiB that clients accept by default.
    page_size_default: int = Field(default=50, ge=1, le=1000)
    page_size_maximum: int = Field(default=1000, ge=1, le=1000)
    page_token_keys: Annotated[SecretStr, AfterValidator(validators.page_token_keys)] | None = None
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    principal_concurrency_limit: int | None = Field(default=None, ge=1, le=100_000)
    principal_stream_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    rate_limit: Annotated[str, AfterValidator(validators.rate)] | None = None
    rate_limit_storage: Annotated[SecretStr, AfterValidator(validators.redis_url)] | None = None
    reflection: bool | None = None
    request_id_hours: int = Field(default=24, ge=1, le=24 * 365)
    shutdown_grace_seconds: float = Field(default=10, ge=0, le=3600, allow_inf_nan=False)
    stranger_rate_limit: Annotated[str, AfterValidator(validators.rate)] = "100/second"
    stream_limit: int = Field(default=10_000, ge=1, le=1_000_000)
    tls_certificate: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_common_names: bool = False
    tls_client_rights: Annotated[dict[str, list[str]], NoDecode, BeforeValidator(validators.client_rights)] | None = (
        None
    )
    tls_key: Path | None = None
    # A traced call costs a third more CPU. Tracing every call would cost more than all other telemetry together.
    trace_sample_ratio: float = Field(default=0.05, ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_page_sizes(self) -> Self:
        if self.page_size_default > self.page_size_maximum:
            raise ValueError(f"{PREFIX}PAGE_SIZE_DEFAULT: expected at most {PREFIX}PAGE_SIZE_MAXIMUM")
        return self

    @model_validator(mode="after")
    def _check_required_together(self) -> Self:
        lines = [
            f"{PREFIX}{missing.upper()}: expected together with {PREFIX}{given.upper()}"
            for given, needed in _REQUIRED_TOGETHER.items()
            for missing in needed
            if getattr(self, given) not in (None, False) and getattr(self, missing) is None
        ]
        if lines:
            raise ValueError("\n".join(dict.fromkeys(lines)))
        return self

    @model_validator(mode="after")
    def _check_common_names(self) -> Self:
        if not self.tls_client_common_names and any(name.startswith("cn:") for name in self.tls_client_rights or ()):
            raise ValueError(
                f"{PREFIX}TLS_CLIENT_COMMON_NAMES: expected true with common names in {PREFIX}TLS_CLIENT_RIGHTS"
            )
        return self

    @property
    def authenticates(self) -> bool:
        """Whether callers must authenticate."""
        return self.api_keys or self.jwt_jwks is not None or self.tls_client_ca is not None

    @property
    def principal_calls(self) -> int:
        """The largest number of concurrent calls of one caller."""
        return self.principal_concurrency_limit or max(1, self.concurrency_limit // 2)

    @property
    def principal_streams(self) -> int:
        """The largest number of concurrent streams of one caller."""
        return self.principal_stream_limit or max(1, self.stream_limit // 2)

    @property
    def principal_charts(self) -> int:
        """The largest number of charts that one caller follows: all of them where callers are not authenticated."""
        return max(1, self.followed_chart_limit // 2) if self.authenticates else self.followed_chart_limit

    @property
    def drains_seconds(self) -> float:
        """How long the server accepts calls after SIGTERM."""
        default = 5 if self.environment == "production" else 0
        return default if self.drain_seconds is None else self.drain_seconds

    @property
    def reflects(self) -> bool:
        """Whether reflection is served."""
        return self.environment == "development" if self.reflection is None else self.reflection


def load_settings() -> Settings:
    """Return the settings from the environment of the process.

    Raises:
        SettingsError: A setting is invalid or unknown.
    """
    fields = [*Settings.model_fields, *(secret + _FILE for secret in SECRETS)]
    problems = unknown_variables(PREFIX, [*(PREFIX + name.upper() for name in fields), *CLIENT_VARIABLES])
    from_files: dict[str, Any] = {}
    for name in SECRETS:
        try:
            from_files |= _read_secret(name)
        except SettingsError as error:
            problems.append(str(error))
    try:
        settings = Settings(**from_files)
    except ValidationError as error:
        problems.extend(_describe(each["loc"], each["msg"], from_files) for each in error.errors(include_input=False))
        raise SettingsError("\n".join(problems)) from None
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


SECRETS = [name for name, field in Settings.model_fields.items() if _is_secret(field.annotation)]
"""The settings that may be read from a file, as orchestrators provide secrets."""


def _read_secret(name: str) -> dict[str, str]:
    """Return a setting from the file that its _FILE variable names; empty if the variable is not set."""
    variable, file_variable = PREFIX + name.upper(), PREFIX + name.upper() + _FILE
    path = os.environ.get(file_variable)
    if not path:
        return {}
    if os.environ.get(variable):
        raise SettingsError(f"{file_variable}: expected only one of this and {variable}, but both are set")
    try:
        return {name: Path(path).read_text(encoding="utf-8").rstrip("\r\n")}
    except OSError as error:  # without the path, which may be the secret itself, set by mistake
        raise SettingsError(f"{file_variable}: expected the path of a readable file: {error.strerror}") from None
    except UnicodeDecodeError:  # its text contains a part of the file
        raise SettingsError(f"{file_variable}: expected the path of a text file in UTF-8") from None


def _describe(location: tuple[int | str, ...], message: str, from_files: Container[str]) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if not location:
        return message
    name = str(location[0])
    return f"{PREFIX}{name.upper()}{_FILE if name in from_files else ''}: {_expected(message)}"


def _expected(message: str) -> str:
    return message if message.startswith("expected ") else f"expected {message}"
