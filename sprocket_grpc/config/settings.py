"""Every setting of the service: typed, from SPROCKET_* variables of the environment, checked once."""

import os
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sprocket_grpc.config import validators
from sprocket_grpc.config.environment import CLIENT_VARIABLES, PREFIX, unknown_variables
from sprocket_grpc.errors import ExpectedError

_FILE = "_FILE"

_NEEDS = {
    "database_read_url": ["database_url"],
    "jwt_audience": ["jwt_issuer", "jwt_jwks"],
    "jwt_issuer": ["jwt_audience", "jwt_jwks"],
    "jwt_jwks": ["jwt_audience", "jwt_issuer"],
    "tls_certificate": ["tls_key"],
    "tls_client_ca": ["tls_certificate"],
    "tls_client_rights": ["tls_client_ca"],
    "tls_key": ["tls_certificate"],
}


class SettingsError(ExpectedError):
    """A setting is wrong or unknown. The text names it and what was expected, a line each, and no value."""


class Settings(BaseSettings):
    """What can be set. Each field is the variable SPROCKET_ and its name in capitals.

    Each SecretStr may be in a file instead: SPROCKET_DATABASE_URL_FILE is the path of one that holds the URL.

    Attributes:
        api_keys: Whether callers may show an API key.
        call_timeout_seconds: How long the server works on a call at most, whatever deadline its client gave.
        concurrency_limit: How many calls, other than streams, the server takes on at once.
        connection_age_seconds: After how long a connection is to be made anew, so that clients find new replicas.
        connection_age_grace_seconds: How long calls on such a connection may go on.
        database_prepared_statements: Whether statements are prepared, which some poolers do not know.
        database_read_maximum_lag_seconds: How old what standbys show may be.
        database_read_url: Standbys, for calls without side effects while they are fresh enough.
        database_url: The PostgreSQL to use. Without it, the service runs a private one of its own.
        database_wait_seconds: How long to wait at the start for the database to answer.
        drain_seconds: How long after SIGTERM calls are still taken, so that those who send them can find out.
            Without it: 5 in production, and none elsewhere.
        embedded_directory: Where the private PostgreSQL keeps its data between runs.
        embedded_binaries: Where the programs of the private PostgreSQL are, such as initdb.
        environment: In production, what is convenient and not safe is refused.
        follow_progress_seconds: How long a stream that follows a chart is silent at most when nothing happens.
        follow_tick_seconds: How often the charts that are followed are looked at for new entries; at least twice in
            `follow_progress_seconds`.
        health_interval_seconds: How often the database is asked whether it is well.
        health_listen: A second address, without TLS, that answers for the health of the server and for nothing else.
        jwt_audience: The `aud` that bearer tokens must be meant for.
        jwt_issuer: The `iss` that bearer tokens must come from.
        jwt_jwks: The public keys of that issuer: a file, or an https URL.
        listen: The address to serve on. Port 0 takes a free one.
        log_format: How log lines look; auto is text on a terminal and json elsewhere.
        log_level: How much to log.
        message_bytes_maximum: How large a request may be.
        metrics_listen: The address where Prometheus reads the metrics. Without it, nowhere.
        otlp_endpoint: The URL of the collector that traces and metrics are sent to. Without it, nowhere.
        page_size_default: How many resources a List returns when the request does not say.
        page_size_maximum: How many it returns at most.
        page_token_keys: Secrets that seal page and resume tokens, shared by all replicas, with commas between. The
            first seals, all open. Without any, a key in the database does.
        pool_size: How many connections to the database to keep at most.
        pool_timeout_seconds: How long a request waits for one of them.
        rate_limit: How many calls each caller may make, such as `100/second`. Without it, as many as it likes.
        rate_limit_storage: The Redis where replicas count them together. Without it, each replica counts for itself.
        reflection: Whether reflection is served. Without it: in development only.
        request_id_hours: How long a request with a request_id is remembered.
        shutdown_grace_seconds: How long calls in flight may go on after SIGTERM.
        stream_limit: How many streams the server takes on at once.
        tls_certificate: The certificate of the server and those between it and a root, in PEM. Turns TLS on.
        tls_client_ca: The roots of the certificates that every client must show then, in PEM.
        tls_client_rights: What clients may do by the identities in their certificates.
        tls_key: The private key of the server's certificate, in PEM.
        trace_sample_ratio: Which share of the calls is traced of those whose caller did not decide.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, hide_input_in_errors=True)

    api_keys: bool = False
    call_timeout_seconds: float = Field(default=30, gt=0, le=3600, allow_inf_nan=False)
    concurrency_limit: int = Field(default=500, ge=1, le=100_000)
    connection_age_seconds: float = Field(default=600, gt=0, le=7 * 86400, allow_inf_nan=False)
    connection_age_grace_seconds: float = Field(default=60, gt=0, le=86400, allow_inf_nan=False)
    database_prepared_statements: bool = True
    database_read_maximum_lag_seconds: float = Field(default=5, ge=0.1, le=3600, allow_inf_nan=False)
    database_read_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_url: Annotated[SecretStr, AfterValidator(validators.postgresql_url)] | None = None
    database_wait_seconds: float = Field(default=30, ge=0, le=3600, allow_inf_nan=False)
    drain_seconds: float | None = Field(default=None, ge=0, le=3600, allow_inf_nan=False)
    embedded_directory: Path | None = None
    embedded_binaries: Path | None = None
    environment: Literal["development", "production"] = "development"
    # Less than the contract promises (15 s and 250 ms), for the time that it takes to read and send.
    follow_progress_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    follow_tick_seconds: float = Field(default=0.2, gt=0, le=60, allow_inf_nan=False)
    health_interval_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    health_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_jwks: Annotated[str, AfterValidator(validators.key_source)] | None = None
    listen: Annotated[str, AfterValidator(validators.address)] = "127.0.0.1:50051"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    message_bytes_maximum: int = Field(default=4 << 20, ge=1024, le=64 << 20)
    metrics_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    otlp_endpoint: Annotated[str, AfterValidator(validators.collector_url)] | None = None
    # A location has at most 2.9 kB on the wire, so that 1,000 of them fit into the 4 MiB that clients receive.
    page_size_default: int = Field(default=50, ge=1, le=1000)
    page_size_maximum: int = Field(default=1000, ge=1, le=1000)
    page_token_keys: Annotated[SecretStr, AfterValidator(validators.page_token_keys)] | None = None
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    rate_limit: Annotated[str, AfterValidator(validators.rate)] | None = None
    rate_limit_storage: Annotated[SecretStr, AfterValidator(validators.redis_url)] | None = None
    reflection: bool | None = None
    request_id_hours: int = Field(default=24, ge=1, le=24 * 365)
    shutdown_grace_seconds: float = Field(default=10, ge=0, le=3600, allow_inf_nan=False)
    stream_limit: int = Field(default=10_000, ge=1, le=1_000_000)
    tls_certificate: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_rights: Annotated[dict[str, str], NoDecode, BeforeValidator(validators.client_rights)] | None = None
    tls_key: Path | None = None
    # A traced call costs a third more CPU: all of them would cost more than all else that is seen together.
    trace_sample_ratio: float = Field(default=0.05, ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _the_default_page_is_not_over_the_largest(self) -> Self:
        if self.page_size_default > self.page_size_maximum:
            raise ValueError(f"{PREFIX}PAGE_SIZE_DEFAULT: expected at most {PREFIX}PAGE_SIZE_MAXIMUM")
        return self

    @model_validator(mode="after")
    def _what_belongs_together_is_complete(self) -> Self:
        lines = [
            f"{PREFIX}{missing.upper()}: expected beside {PREFIX}{given.upper()}"
            for given, needed in _NEEDS.items()
            for missing in needed
            if getattr(self, given) is not None and getattr(self, missing) is None
        ]
        if lines:
            raise ValueError("\n".join(dict.fromkeys(lines)))
        return self

    @property
    def authenticates(self) -> bool:
        """Whether callers have to say who they are."""
        return self.api_keys or self.jwt_jwks is not None or self.tls_client_ca is not None

    @property
    def drains_seconds(self) -> float:
        """How long after SIGTERM calls are still taken."""
        default = 5 if self.environment == "production" else 0
        return default if self.drain_seconds is None else self.drain_seconds

    @property
    def reflects(self) -> bool:
        """Whether reflection is served."""
        return self.environment == "development" if self.reflection is None else self.reflection


def load_settings() -> Settings:
    """Read the settings from the environment of the process.

    Raises:
        SettingsError: One of them is wrong, or is not known.
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
"""The settings that may be in a file, which is how orchestrators hand secrets to a process and to nobody else."""


def _read_secret(name: str) -> dict[str, str]:
    """Return the setting as the file has it that is named for it, or nothing if none is."""
    variable, file_variable = PREFIX + name.upper(), PREFIX + name.upper() + _FILE
    path = os.environ.get(file_variable)
    if not path:
        return {}
    if os.environ.get(variable):
        raise SettingsError(f"{file_variable}: expected without {variable}, which is set too")
    try:
        return {name: Path(path).read_text(encoding="utf-8").rstrip("\r\n")}
    except OSError as error:  # the path is not shown: it may be the secret itself, given to the wrong setting
        raise SettingsError(f"{file_variable}: expected the path of a file to read: {error.strerror}") from None
    except UnicodeDecodeError:  # its text holds a part of the file
        raise SettingsError(f"{file_variable}: expected the path of a text in UTF-8") from None


def _describe(location: tuple[int | str, ...], message: str, from_files: Container[str]) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if not location:
        return message
    name = str(location[0])
    return f"{PREFIX}{name.upper()}{_FILE if name in from_files else ''}: {_expected(message)}"


def _expected(message: str) -> str:
    return message if message.startswith("expected ") else f"expected {message}"
