"""Authenticates callers and checks their permission, before anything of the request is read."""

from dataclasses import replace
from typing import Any

from sprocket_grpc.auth.authentication import Authentication
from sprocket_grpc.auth.permissions import required_permission
from sprocket_grpc.caller import FORCE, Grant, current_caller, set_caller, set_grant
from sprocket_grpc.errors import PermissionDeniedError
from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.open_streams import Credentials, OpenStreams
from sprocket_grpc.interceptors.strangers import Strangers

AUTHORIZATION_KEY = "authorization"
"""The metadata that carries `Bearer` and an API key or token."""


class Authorization:
    """Runs directly inside the interceptor that turns errors into statuses."""

    def __init__(self, authentication: Authentication, stranger_rate: str) -> None:
        """Authenticate callers, and let those of one network address fail at a rate, such as `100/second`."""
        self._strangers = Strangers(stranger_rate, authentication.identify)
        self._streams = OpenStreams(authentication.identify)

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Authenticate the caller, and refuse the call without the permission of its method.

        Raises:
            StrangerLimitError: Too many calls from the caller's address have failed authentication.
            UnauthenticatedError: The credentials are not valid; on a stream, at any time.
            PermissionDeniedError: They do not grant the permission; on a stream, at any time.
            UnavailableError: The database is unavailable.
        """
        credentials = Credentials(call.metadata.get(AUTHORIZATION_KEY), call.transport.certificate)
        identity = await self._strangers.identify(call.holder, credentials)
        call.principal = identity.principal
        set_caller(replace(current_caller(), principal=identity.principal))
        set_grant(Grant(may_force=FORCE in identity.permissions, factories=identity.factories))
        required = required_permission(call.method)
        if required not in identity.permissions:
            raise PermissionDeniedError(required)
        if call.is_stream:
            return await self._streams.run(credentials, required, identity, lambda: call_next(call))
        return await call_next(call)
