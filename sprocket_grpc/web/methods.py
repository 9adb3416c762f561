"""The methods that can be called by HTTP."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket_grpc.interceptors.chain import Answer, Rpc


@dataclass(frozen=True)
class Method:
    """A method that can be called by HTTP.

    Attributes:
        rpc: The method.
        answer: Answers its calls within the interceptors.
        is_safe: Whether it has no side effects, so that it can be called with GET.
    """

    rpc: Rpc
    answer: Answer
    is_safe: bool

    @property
    def allowed(self) -> str:
        """The methods of HTTP that call it."""
        return "GET, POST" if self.is_safe and not self.rpc.is_stream else "POST"


def methods_by_path(answers: Iterable[tuple[Rpc, Answer]]) -> Mapping[str, Method]:
    """Return methods by their paths."""
    return {rpc.method: Method(rpc, answer, _is_safe(rpc)) for rpc, answer in answers}


def _is_safe(rpc: Rpc) -> bool:
    described = descriptor_pool.Default().FindMethodByName(rpc.method[1:].replace("/", "."))
    level: int = described.GetOptions().idempotency_level
    return level == MethodOptions.NO_SIDE_EFFECTS
