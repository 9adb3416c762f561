"""Lets nobody call who is not known and does not have the right: before anything of the request is looked at."""

from dataclasses import replace
from typing import Any

from sprocket_grpc.auth.authentication import Authentication
from sprocket_grpc.auth.permissions import required_permission
from sprocket_grpc.caller import current_caller, set_caller
from sprocket_grpc.errors import PermissionDeniedError
from sprocket_grpc.interceptors.call import Call, CallNext

AUTHORIZATION_KEY = "authorization"
"""The metadata that carries `Bearer` and an API key or token."""


class Authorization:
    """Stands right inside of what turns errors into statuses."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Find out who calls, and refuse the call without the right."""
        shown = call.context.auth_context()
        identity = await self._authentication.identify(call.metadata.get(AUTHORIZATION_KEY), shown)
        call.principal = identity.principal
        set_caller(replace(current_caller(), principal=identity.principal))
        right = required_permission(call.method)
        if right not in identity.rights:
            raise PermissionDeniedError(right.value)
        return await call_next(call)
