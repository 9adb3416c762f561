"""The settings that limit what callers can take, a part of all settings."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from sprocket_grpc.config import validators


class LimitSettings(BaseSettings):
    """The limits. docs/configuration.md has these descriptions: `make generate` copies them.

    Attributes:
        arrival_limit: The maximum number of requests that the server receives at a time, each up to
            `message_bytes_maximum`. Others wait unread; while others wait, a request has 0.25 s to arrive. One
            authenticated caller can have a quarter of them.
        arrival_timeout_seconds: The maximum time from the headers of a call to the end of its request.
        call_timeout_seconds: The maximum duration of a call, in addition to the deadline of its client. Streams have
            none.
        concurrency_limit: The maximum number of concurrent calls, not counting streams.
        connection_age_grace_seconds: How long calls may continue on a connection that has reached its maximum age.
            Streams then end with UNAVAILABLE, and clients can resume them.
        connection_age_seconds: The maximum age of a connection. Clients then reconnect, which spreads them over new
            replicas.
        connection_stream_limit: The maximum number of concurrent calls on one connection. Clients queue the others.
        expensive_call_limit: The maximum number of database connections for expensive calls: counts, lists with a
            filter or an order, summaries of charts, large batches and cascading deletes. One authenticated caller can
            have all but one of them. A call waits up to `pool_timeout_seconds` for one. By default, three quarters of
            `pool_size`.
        expensive_call_timeout_seconds: The maximum time that the database works on an expensive call.
        followed_chart_limit: The maximum number of charts that all streams together follow; each takes 1.5 kB. One
            authenticated caller can have half of them.
        health_limit: The maximum number of concurrent health checks, and also of concurrent health watches; a watch
            takes 23 kB. One network address can have half of them.
        message_bytes_maximum: The maximum size of a request in bytes.
        principal_concurrency_limit: The maximum number of concurrent calls of one authenticated caller, not counting
            streams. By default, half of `concurrency_limit`.
        principal_stream_limit: The maximum number of concurrent streams of one authenticated caller. By default, half
            of `stream_limit`.
        rate_limit: The maximum rate of calls of each caller, such as `100/second` or `5000/10 minutes`. By default,
            there is no limit.
        rate_limit_storage: The Redis in which all replicas count calls together:
            `redis://:PASSWORD@HOST:PORT/NUMBER`, or `rediss://` for TLS. By default, each replica counts alone.
        stranger_rate_limit: The maximum rate of calls from one network address that fail authentication. Callers who
            have succeeded before are not affected.
        stream_limit: The maximum number of concurrent streams.
    """

    arrival_limit: int = Field(default=48, ge=1, le=100_000)
    arrival_timeout_seconds: float = Field(default=10, gt=0, le=3600, allow_inf_nan=False)
    call_timeout_seconds: float = Field(default=30, gt=0, le=3600, allow_inf_nan=False)
    concurrency_limit: int = Field(default=500, ge=1, le=100_000)
    connection_age_grace_seconds: float = Field(default=60, gt=0, le=86400, allow_inf_nan=False)
    connection_age_seconds: float = Field(default=600, gt=0, le=7 * 86400, allow_inf_nan=False)
    connection_stream_limit: int = Field(default=1000, ge=1, le=100_000)
    expensive_call_limit: int | None = Field(default=None, ge=1, le=1000)
    expensive_call_timeout_seconds: float = Field(default=15, gt=0, le=3600, allow_inf_nan=False)
    followed_chart_limit: int = Field(default=100_000, ge=1, le=10_000_000)
    health_limit: int = Field(default=2000, ge=1, le=1_000_000)
    message_bytes_maximum: int = Field(default=4 << 20, ge=1024, le=64 << 20)
    principal_concurrency_limit: int | None = Field(default=None, ge=1, le=100_000)
    principal_stream_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    rate_limit: Annotated[str, AfterValidator(validators.rate)] | None = None
    rate_limit_storage: Annotated[SecretStr, AfterValidator(validators.redis_url)] | None = None
    stranger_rate_limit: Annotated[str, AfterValidator(validators.rate)] = "100/second"
    stream_limit: int = Field(default=10_000, ge=1, le=1_000_000)

    @property
    def principal_calls(self) -> int:
        """The largest number of concurrent calls of one caller."""
        return self.principal_concurrency_limit or max(1, self.concurrency_limit // 2)

    @property
    def principal_streams(self) -> int:
        """The largest number of concurrent streams of one caller."""
        return self.principal_stream_limit or max(1, self.stream_limit // 2)
