"""Resume tokens: up to where a stream of charts has been sent, for each factory."""

import struct
import uuid
from collections.abc import Mapping

from sprocket_grpc.errors import InvalidResumeTokenError, Violation
from sprocket_grpc.services.standard.token_cipher import TokenCipher, TokenError
from sprocket_grpc.storage.chart_reads import Position

# Of each factory its id, when it was created, and the sequence of the last entry that was sent.
_POSITION = struct.Struct(">16sqq")


async def make_resume_token(cipher: TokenCipher, bound_to: bytes, positions: Mapping[str, Position]) -> str:
    """Make the token that continues a stream from these positions on."""
    content = b"".join(_POSITION.pack(uuid.UUID(each).bytes, *position) for each, position in positions.items())
    return await cipher.encrypt(bound_to, content)


async def read_resume_token(cipher: TokenCipher, bound_to: bytes, token: str) -> dict[str, Position]:
    """Return the positions that a token was made with, by the ids of the factories; none for no token.

    Raises:
        InvalidResumeTokenError: It was not made here, or for a stream of something else.
    """
    if not token:
        return {}
    try:
        content = await cipher.decrypt(bound_to, token)
    except TokenError as error:
        hint = "send it with the range that it was made for, or none to begin anew"
        raise InvalidResumeTokenError([Violation("resume_token", f"{error}: {hint}")]) from None
    positions = _POSITION.iter_unpack(content)
    return {
        str(uuid.UUID(bytes=identifier)): Position(created, sequence) for identifier, created, sequence in positions
    }
