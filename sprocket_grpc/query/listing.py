"""What a list is asked for, beside its page."""

from dataclasses import dataclass

from sprocket_grpc.query.expression import Expression
from sprocket_grpc.query.order import OrderTerm


@dataclass(frozen=True)
class Query:
    """Which resources to list, and in what order.

    Attributes:
        filter: What they have to be like; all of them if None.
        order: What to order them by before their ids.
    """

    filter: Expression | None = None
    order: tuple[OrderTerm, ...] = ()
