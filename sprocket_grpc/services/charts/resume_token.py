"""Resume tokens: the position that a stream has sent of each chart."""

import struct
import uuid
from collections.abc import Mapping
from typing import TypeAlias

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.errors import InvalidResumeTokenError, Violation
from sprocket_grpc.services.standard.requests import digest
from sprocket_grpc.services.standard.token_cipher import TokenCipher, TokenError
from sprocket_grpc.storage.chart_reads import Position

ChartRequest: TypeAlias = pb.GetFactoryChartRequest | pb.FollowFactoryChartsRequest

FREE_FIELDS = {"factory_ids", "max_points", "follow", "resume_token"}
"""The fields that may differ between the request that was given a token and the one that brings it back."""

# Of each factory its id, when it was created, and the sequence of the last entry that was sent.
_POSITION = struct.Struct(">16sqq")


class ResumeTokens:
    """The token that a request brings, and those that the responses of its stream carry."""

    def __init__(self, cipher: TokenCipher, request: ChartRequest) -> None:
        self._cipher = cipher
        self._sent: dict[str, bytes] = {}
        self._token = request.resume_token
        self._bound_to = digest(request, FREE_FIELDS.intersection(request.DESCRIPTOR.fields_by_name))

    async def read(self) -> dict[str, Position]:
        """Return the positions in the token of the request, by `factory_id`; empty if it has no token.

        Raises:
            InvalidResumeTokenError: This service did not make it, or made it for a stream of something else.
        """
        if not self._token:
            return {}
        try:
            content = await self._cipher.decrypt(self._bound_to, self._token)
        except TokenError as error:
            hint = "send it with the range that it was made for, or none to begin anew"
            raise InvalidResumeTokenError([Violation("resume_token", f"{error}: {hint}")]) from None
        entries = _POSITION.iter_unpack(content)
        return {str(uuid.UUID(bytes=each)): Position(created, sequence) for each, created, sequence in entries}

    def note(self, sent: Mapping[str, Position]) -> None:
        """Take the positions that the stream has sent of some charts; the others stay where they were."""
        self._sent |= {each: _POSITION.pack(uuid.UUID(each).bytes, *position) for each, position in sent.items()}

    async def next(self) -> str:
        """Make the token that continues a stream after all that it has sent."""
        return await self._cipher.encrypt(self._bound_to, b"".join(self._sent.values()))
