"""Finds all mutants of a file, and draws some of many."""

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reliability.mutate.kinds import Change, changes_of

_NOT_CORE = ("cli", "testing")
_NO_CODE = ("annotation", "returns", "decorator_list")
_NUMBERS = (ast.BinOp, ast.Constant, ast.List, ast.Tuple, ast.UnaryOp, ast.expr_context, ast.operator, ast.unaryop)


@dataclass(frozen=True)
class Mutant:
    """A file of the core with one change.

    Attributes:
        path: The file, relative to the root of the project.
        line: Where the change begins.
        kind: What is broken.
        source: What the file says.
        text: What it says with the change.
    """

    path: Path
    line: int
    kind: str
    source: str
    text: str

    def __str__(self) -> str:
        """Show the lines that differ, after their place."""
        lines = difflib.unified_diff(self.source.splitlines(), self.text.splitlines(), n=0, lineterm="")
        differing = [each for each in lines if not each.startswith(("---", "+++", "@@"))]
        return "\n".join([f"{self.path}:{self.line}  {self.kind}", *differing])


def core_files(root: Path) -> list[Path]:
    """Return the modules of the core, relative to the root: all but those of the command line and for tests."""
    files = (each.relative_to(root) for each in sorted((root / "sprocket_grpc").rglob("*.py")))
    return [each for each in files if each.parts[1] not in _NOT_CORE and not each.name.startswith("__")]


def mutants_of(root: Path, path: Path) -> list[Mutant]:
    """Return all mutants of a file."""
    source = (root / path).read_text()
    changes = (change for node in _nodes(ast.parse(source)) for change in changes_of(node, source))
    return [_mutant(path, source, change) for change in changes]


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Draw mutants: the kinds are equally likely, however many mutants each has. The same seed draws the same.

    Mutants that Python does not understand, or as the same code, are left out.
    """
    random_ = random.Random(seed)
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in random_.sample(mutants, len(mutants)):
        kinds[mutant.kind].append(mutant)
    drawn: list[Mutant] = []
    while kinds and len(drawn) < count:
        kind = random_.choice(sorted(kinds))
        mutant = kinds[kind].pop()
        if _is_different(mutant):
            drawn.append(mutant)
        if not kinds[kind]:
            del kinds[kind]
    return drawn


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that may be broken: no annotation, docstring or decorator, and no part of an f-string.

    Python 3.11 does not know the places of parts of f-strings. What `_is_no_promise` finds is left out too.
    """
    for name, value in ast.iter_fields(tree):
        children = value if isinstance(value, list) else [value]
        for child in children:
            if isinstance(child, ast.AST) and name not in _NO_CODE and not _is_no_promise(child):
                yield child
                if not isinstance(child, ast.JoinedStr):
                    yield from _nodes(child)


def _is_no_promise(node: ast.AST) -> bool:
    """Return whether code may change and the service still does what it promises.

    That is a docstring; imports and variables for the type checker; `zip(..., strict=True)`, an assertion; a debug
    line of the log; and numbers with a name, such as `_POLL_SECONDS = 5`: tests use the name, or set it. Their uses may
    be broken.
    """
    match node:
        case ast.Expr(ast.Constant()) | ast.If(ast.Name("TYPE_CHECKING")) | ast.keyword("strict"):
            return True
        case ast.Call(ast.Name("TypeVar")):
            return True
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("_log"), "debug"))):
            return True
        case ast.Assign([ast.Name(name)], value) if name.isupper():
            return all(isinstance(each, _NUMBERS) and not _is_other_constant(each) for each in ast.walk(value))
    return False


def _is_other_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and (isinstance(node.value, bool) or not isinstance(node.value, int | float))


def _mutant(path: Path, source: str, change: Change) -> Mutant:
    encoded = source.encode()  # Python counts columns in bytes
    begins = [0, *(index + 1 for index, byte in enumerate(encoded) if byte == ord("\n"))]
    first, last = change.first, change.last
    begin = begins[_number(first, "lineno") - 1] + _number(first, "col_offset")
    end = begins[_number(last, "end_lineno") - 1] + _number(last, "end_col_offset")
    text = (encoded[:begin] + change.text.encode() + encoded[end:]).decode()
    return Mutant(path, _number(first, "lineno"), change.kind, source, text)


def _number(node: ast.AST, name: str) -> int:
    return int(getattr(node, name))


def _is_different(mutant: Mutant) -> bool:
    """Return whether Python understands a mutant, and as other code than it was."""
    try:
        return ast.dump(ast.parse(mutant.text)) != ast.dump(ast.parse(mutant.source))
    except SyntaxError:
        return False
