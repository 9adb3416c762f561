"""Resume tokens: up to where a stream of charts has been sent, for each factory."""

import struct
import uuid
from collections.abc import Mapping

from sprocket_grpc.errors import InvalidResumeTokenError, Violation
from sprocket_grpc.services.standard.sealing import Sealer, TokenError
from sprocket_grpc.storage.chart_reads import Place

# Of each factory its id, when it was created, and the sequence of the last entry that was sent.
_PLACE = struct.Struct(">16sqq")


async def seal_resume_token(sealer: Sealer, bound_to: bytes, places: Mapping[str, Place]) -> str:
    """Make the token that continues a stream from these places on."""
    content = b"".join(_PLACE.pack(uuid.UUID(each).bytes, *place) for each, place in places.items())
    return await sealer.seal(bound_to, content)


async def open_resume_token(sealer: Sealer, bound_to: bytes, token: str) -> dict[str, Place]:
    """Return the places that a token was made with, by the ids of the factories; none for no token.

    Raises:
        InvalidResumeTokenError: It was not made here, or for a stream of something else.
    """
    if not token:
        return {}
    try:
        content = await sealer.open(bound_to, token)
    except TokenError as error:
        hint = "send it with the range that it was made for, or none to begin anew"
        raise InvalidResumeTokenError([Violation("resume_token", f"{error}: {hint}")]) from None
    places = _PLACE.iter_unpack(content)
    return {str(uuid.UUID(bytes=identifier)): Place(created, sequence) for identifier, created, sequence in places}
