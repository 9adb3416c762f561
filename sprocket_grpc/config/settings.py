"""The settings of the service: typed, read from SPROCKET_* environment variables, and validated once."""

import os
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from sprocket_grpc.config import validators
from sprocket_grpc.config.environment import CLIENT_VARIABLES, PREFIX, unknown_variables
from sprocket_grpc.config.limit_settings import LimitSettings
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


class Settings(LimitSettings, WebSettings):
    """The settings. Every field is read from the variable SPROCKET_ followed by its name in capitals.

    A SecretStr may be read from a file instead: SPROCKET_DATABASE_URL_FILE is the path of a file with the URL.
    docs/configuration.md has these descriptions: `make generate` copies them.

    Attributes:
        api_keys: Whether API keys authenticate callers.
        audit_retention_days: The age in days at which entries of the audit log expire. The server drops them by whole
            months. `sprocket-grpc migrate` records the days as the fewest that any server may keep entries, so set it
            there too. By default, entries are kept for ever.
        chart_retention_days: The age in days at which entries of charts expire, except the one that is in force then.
            `sprocket-grpc migrate` records the days as for `audit_retention_days`, so set it there too. By default,
            entries are kept for ever.
        database_prepared_statements: Whether the server prepares statements. Set `false` behind a pooler that does not
            support that.
        database_read_maximum_lag_seconds: The maximum replication lag of standbys that the server reads from.
        database_read_url: The standbys for calls without side effects: a URL with one or more hosts. By default, the
            server reads from the primary.
        database_url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. Separate more than one `HOST:PORT` by commas. By
            default, the embedded PostgreSQL.
        database_wait_seconds: How long the server waits for the database at startup.
        drain_seconds: How long the server accepts calls after SIGTERM, until clients and load balancers know that it is
            stopping. By default, 5 in production and 0 in development.
        embedded_binaries: The directory of the programs of the embedded PostgreSQL, such as `initdb`. By default, the
            server finds them.
        embedded_directory: The data directory of the embedded PostgreSQL. By default,
            `$XDG_DATA_HOME/sprocket-grpc` or `~/.local/share/sprocket-grpc`, and `/var/lib/sprocket-grpc` for root.
        environment: `production` rejects settings that are unsafe there.
        follow_progress_seconds: The heartbeat interval of a stream that follows a chart.
        follow_tick_seconds: The poll interval for new entries of followed charts. The server limits it to half of
            `follow_progress_seconds`.
        health_interval_seconds: The interval between health checks of the database. While there is a problem, 0.5 s at
            most.
        health_listen: A second address, without TLS, for the health service only. By default, there is none.
        jwt_audience: The required `aud` of bearer tokens.
        jwt_issuer: The required `iss` of bearer tokens.
        jwt_jwks: The public keys of the issuer of bearer tokens: the path of a file, or an https URL.
            `SSL_CERT_FILE` sets your own root certificates for the URL. By default, tokens are not accepted.
        jwt_type: The required `typ` in the header of bearer tokens, such as `at+jwt`, which tells access tokens from
            other tokens of the issuer. By default, any.
        listen: The address to serve on. With port 0, the server chooses a free port and prints it.
        log_format: `json` is one JSON object per line, `text` is for people, and `auto` is text on a terminal and JSON
            elsewhere.
        log_level: The lowest level that is logged.
        metrics_listen: The address that Prometheus scrapes. With port 0, the server chooses a free port and prints it;
            workers use the ports after it. By default, metrics are not served.
        otlp_endpoint: Where the server exports traces and metrics by OTLP over gRPC: `http://HOST:PORT`, or
            `https://` for TLS. By default, nowhere.
        page_size_default: The page size of a List without a page_size.
        page_size_maximum: The maximum page size.
        page_token_keys: Secrets, separated by commas, that encrypt and authenticate page and resume tokens. All
            replicas need the same. The server encrypts with the first and decrypts with all. By default, a key in the
            database.
        pool_size: The maximum number of database connections of each process, in addition to one for health checks.
        pool_timeout_seconds: How long a request waits for a connection of the pool.
        reflection: Whether the server serves reflection, which does not authenticate callers. By default, only in
            development.
        request_id_hours: How long the server remembers requests with a `request_id`.
        shutdown_grace_seconds: How long calls in flight may continue after draining.
        tls_certificate: The path of the server's certificate chain in PEM. It enables TLS.
        tls_client_ca: The path of root certificates in PEM. Every client must then present a certificate that one of
            them has issued.
        tls_client_common_names: Whether the common name identifies a client whose certificate has neither a URI nor a
            DNS name.
        tls_client_rights: The permissions of clients with certificates:
            `KIND:NAME=PERMISSION,PERMISSION;KIND:NAME=PERMISSION`. `KIND` is `uri`, `dns` or `cn` (the common name). A
            `PERMISSION` is a permission without the prefix `sprocket.`.
        tls_key: The path of the private key of the certificate, in PEM, without a password.
        trace_sample_ratio: The share of calls to trace if the caller did not decide. 1 traces all of them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=False,  # else every start imports the library that parses rates
    )

    api_keys: bool = False
    audit_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    chart_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    database_prepared_statements: bool = True
    database_read_maximum_lag_seconds: float = Field(default=5, ge=0.1, le=3600, allow_inf_nan=False)
    database_read_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_wait_seconds: float = Field(default=30, ge=0, le=3600, allow_inf_nan=False)
    drain_seconds: float | None = Field(default=None, ge=0, le=3600, allow_inf_nan=False)
    embedded_directory: Path | None = None
    embedded_binaries: Path | None = None
    environment: Literal["development", "production"] = "development"
    # Less than the contract promises (15 s and 250 ms), to leave time for reading and sending.
    follow_progress_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    follow_tick_seconds: float = Field(default=0.2, gt=0, le=60, allow_inf_nan=False)
    health_interval_seconds: float = Field(default=2, gt=0, le=3600, allow_inf_nan=False)
    health_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_jwks: Annotated[str, AfterValidator(validators.key_source)] | None = None
    jwt_type: str | None = None
    listen: Annotated[str, AfterValidator(validators.address)] = "127.0.0.1:50051"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    otlp_endpoint: Annotated[str, AfterValidator(validators.collector_url)] | None = None
    # A location has at most 2.9 kB on the wire, so 1,000 of them fit into the 4 MiB that clients accept by default.
    page_size_default: int = Field(default=50, ge=1, le=1000)
    page_size_maximum: int = Field(default=1000, ge=1, le=1000)
    page_token_keys: Annotated[SecretStr, AfterValidator(validators.page_token_keys)] | None = None
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    reflection: bool | None = None
    request_id_hours: int = Field(default=24, ge=1, le=24 * 365)
    shutdown_grace_seconds: float = Field(default=10, ge=0, le=3600, allow_inf_nan=False)
    tls_certificate: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_common_names: bool = False
    tls_client_rights: Annotated[dict[str, list[str]], NoDecode, BeforeValidator(validators.permissions)] | None = None
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
