"""Every setting of the service: typed, from SPROCKET_* variables of the environment, checked once."""

import difflib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "SPROCKET_"

# Kubernetes sets variables such as SPROCKET_GRPC_SERVICE_HOST or SPROCKET_PORT_50051_TCP_ADDR for every Service
# of the namespace, so for one that is called "sprocket" or "sprocket-grpc" too: they are no settings.
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*|\w+_PORT=(tcp|udp|sctp)://.*"
)

_SHORTEST_KEY = 32

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/]+):(?P<port>\d{1,5})")


class SettingsError(Exception):
    """A setting is wrong or unknown. The text names it and what was expected, a line each, and no value."""


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    return value


def _postgresql_url(value: SecretStr) -> SecretStr:
    scheme, _, rest = value.get_secret_value().partition("://")
    with suppress(ArgumentError, ValueError):  # their texts may hold the password
        if scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
            url = make_url(f"postgresql+psycopg://{rest}")
            if "@" not in (url.host or ""):  # or else it is a part of a password, in which @ must be %40
                return SecretStr(url.render_as_string(hide_password=False))
    raise ValueError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")


def _page_token_keys(value: SecretStr) -> SecretStr:
    if any(len(key) < _SHORTEST_KEY for key in value.get_secret_value().split(",")):
        raise ValueError(f"expected secrets of {_SHORTEST_KEY} characters or more each, with commas between")
    return value


def _rate(value: str) -> str:
    with suppress(ValueError):
        [limit] = limits.parse_many(value)
        if limit.amount > 0:
            return value
    raise ValueError("expected COUNT/UNIT, such as 100/second or 5000/10 minutes")


def _redis_url(value: SecretStr) -> SecretStr:
    with suppress(ValueError):  # the port is none
        url = urlsplit(value.get_secret_value())
        if url.scheme in {"redis", "rediss"} and url.hostname and url.port != 0:
            return value
    raise ValueError("expected redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS")


class Settings(BaseSettings):
    """What can be set. Each field is the variable SPROCKET_ and its name in capitals.

    Attributes:
        database_url: The PostgreSQL to use. Without it, the service runs a private one of its own.
        database_wait_seconds: How long to wait at the start for the database to answer.
        embedded_directory: Where the private PostgreSQL keeps its data between runs.
        embedded_binaries: Where the programs of the private PostgreSQL are, such as initdb.
        follow_progress_seconds: How long a stream that follows a chart is silent at most when nothing happens.
        follow_tick_seconds: How often the charts that are followed are looked at for new entries.
        health_interval_seconds: How often the database is asked whether it is well.
        listen: The address to serve on. Port 0 takes a free one.
        log_format: How log lines look; auto is text on a terminal and json elsewhere.
        log_level: How much to log.
        page_size_default: How many resources a List returns when the request does not say.
        page_size_maximum: How many it returns at most.
        page_token_keys: Secrets that seal page and resume tokens, shared by all replicas, with commas between. The
            first seals, all open. Without any, a key in the database does.
        pool_size: How many connections to the database to keep at most.
        pool_timeout_seconds: How long a request waits for one of them.
        rate_limit: How many calls each caller may make, such as `100/second`. Without it, as many as it likes.
        rate_limit_storage: The Redis where replicas count them together. Without it, each replica counts for itself.
        request_id_hours: How long a request with a request_id is remembered.
        shutdown_grace_seconds: How long calls in flight may go on after SIGTERM.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, hide_input_in_errors=True)

    database_url: Annotated[SecretStr, AfterValidator(_postgresql_url)] | None = None
    database_wait_seconds: float = Field(default=30, ge=0, le=3600, allow_inf_nan=False)
    embedded_directory: Path | None = None
    embedded_binaries: Path | None = None
    # Less than the contract promises (15 s and 250 ms), for the time that it takes to read and send.
    follow_progress_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    follow_tick_seconds: float = Field(default=0.2, gt=0, le=60, allow_inf_nan=False)
    health_interval_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:50051"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # A location has at most 2.9 kB on the wire, so that 1,000 of them fit into the 4 MiB that clients receive.
    page_size_default: int = Field(default=50, ge=1, le=1000)
    page_size_maximum: int = Field(default=1000, ge=1, le=1000)
    page_token_keys: Annotated[SecretStr, AfterValidator(_page_token_keys)] | None = None
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout_seconds: float = Field(default=5, gt=0, le=3600, allow_inf_nan=False)
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = None
    rate_limit_storage: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    request_id_hours: int = Field(default=24, ge=1, le=24 * 365)
    shutdown_grace_seconds: float = Field(default=10, ge=0, le=3600, allow_inf_nan=False)

    @model_validator(mode="after")
    def _the_default_page_is_not_over_the_largest(self) -> Self:
        if self.page_size_default > self.page_size_maximum:
            raise ValueError(f"{PREFIX}PAGE_SIZE_DEFAULT: expected at most {PREFIX}PAGE_SIZE_MAXIMUM")
        return self


def load_settings() -> Settings:
    """Read the settings from the environment of the process.

    Raises:
        SettingsError: One of them is wrong, or is not known.
    """
    unknown = _unknown()
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = [_describe(tuple(map(str, each["loc"])), each["msg"]) for each in error.errors(include_input=False)]
        raise SettingsError("\n".join(unknown + wrong)) from None
    if unknown:
        raise SettingsError("\n".join(unknown))
    return settings


def _unknown() -> list[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    strangers = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return [_suggest(name, known) for name in strangers if not _SERVICE_LINK.fullmatch(f"{name}={os.environ[name]}")]


def _suggest(name: str, known: list[str]) -> str:
    # Without the prefix, which makes all of them alike.
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")


def _describe(location: tuple[str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{PREFIX}{location[0].upper()}: {_expected(message)}" if location else message


def _expected(message: str) -> str:
    return message if message.startswith("expected ") else f"expected {message}"
