"""The RPCs: a thin servicer for each proto service, over the standard methods that all of them share."""

from typing import TypeAlias

Context: TypeAlias = object
"""The second argument of every RPC, which generated servicers ask for. It is not used: RPCs know no protocol."""
