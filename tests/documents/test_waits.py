"""docs/architecture.md: its table of waits names everything in the package that waits without a limit beside it."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests import ROOT

PACKAGE = ROOT / "sprocket_grpc"
TABLE = (ROOT / "docs" / "architecture.md").read_text().partition("## Waits")[2].partition("\n## ")[0]
ROW = re.compile(r"^\| `(?P<file>[^`]+)` \| `(?P<wait>[^`]+)` \| (?P<bound>[^|]+) \|$", re.MULTILINE)

_METHODS = {"acquire", "communicate", "readline", "serve_forever", "wait"}
_WITHOUT_ARGUMENTS = {"join"}  # of threads; that of texts has an argument
_FUNCTIONS = {"create_future", "flock", "gather", "greenlet_spawn", "shield", "to_thread"}
_LONGEST = 60
"""The most characters of an expression in the table; of a longer one it has no arguments."""

_LIMITS = {"timeout", "timeout_at"}
_TIMEOUTS = {"limit", "timeout"}
"""The names of attributes that have such a limit."""


def waits(source: str) -> Iterator[str]:
    """Yield each expression that waits for something, and has no limit itself or around it in its function."""
    yield from _waits(ast.parse(source), is_limited=False)


def _waits(node: ast.AST, *, is_limited: bool) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        is_limited = False  # it runs at another time
    elif isinstance(node, ast.AsyncWith):
        contexts = [item.context_expr for item in node.items]
        is_limited |= any(isinstance(each, ast.Call) and _name(each) in _LIMITS for each in contexts)
        is_limited |= any(isinstance(each, ast.Attribute) and each.attr in _TIMEOUTS for each in contexts)
        locks = [each for each in contexts if isinstance(each, ast.Attribute) and each.attr not in _TIMEOUTS]
        yield from (ast.unparse(each) for each in locks if not is_limited)
    elif isinstance(node, ast.Await) and isinstance(node.value, ast.Name | ast.Attribute) and not is_limited:
        yield ast.unparse(node)  # a task or a future
    elif isinstance(node, ast.Call) and not is_limited and _is_wait(node):
        text = ast.unparse(node)
        yield text if len(text) <= _LONGEST else f"{ast.unparse(node.func)}(…)"
    for child in ast.iter_child_nodes(node):
        yield from _waits(child, is_limited=is_limited)


def _is_wait(call: ast.Call) -> bool:
    name = _name(call)
    if "LOCK_NB" in ast.unparse(call):
        return False  # it does not block
    if any(each.arg == "timeout" for each in call.keywords) or (name == "wait" and _is_seconds(call)):
        return False
    is_process = name == "run" and ast.unparse(call.func) == "subprocess.run"
    has_none = not call.args and not call.keywords
    return name in _METHODS | _FUNCTIONS or (name in _WITHOUT_ARGUMENTS and has_none) or is_process


def _is_seconds(call: ast.Call) -> bool:
    return bool(call.args) and "SECONDS" in ast.unparse(call.args[0]).upper()


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def found() -> set[tuple[str, str]]:
    """Return the file and the expression of each wait without a limit."""
    files = {path: path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        (name, each)
        for path, name in files.items()
        if not name.startswith("testing/")  # what the tests of other projects use has their limits
        for each in waits(path.read_text())
    }


def test_every_wait_without_a_limit_is_in_the_table_with_what_bounds_it() -> None:
    rows = ROW.findall(TABLE)
    assert sorted(found() - {(file, wait) for file, wait, _ in rows}) == []
    assert sorted({(file, wait) for file, wait, _ in rows} - found()) == []
    assert len(rows) == len(set(rows))
    assert [bound for _, _, bound in rows if len(bound.split()) < 3] == []


@pytest.mark.parametrize(
    "source",
    [
        "await self._arrived",
        "await event.wait()",
        "await asyncio.wait({task})",
        "await lock.acquire()",
        "await asyncio.gather(a(), b())",
        "await asyncio.to_thread(f)",
        "async with asyncio.timeout(5):\n  def f(): return event.wait()",
        "async with self._lock: pass",
        "thread.join()",
        "subprocess.run(['a'])",
        "process.communicate()",
    ],
)
def test_a_wait_without_a_limit_is_found(source: str) -> None:
    assert len(list(waits(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "async with asyncio.timeout(5): await event.wait()",
        "async with asyncio.timeout(5), other: await event.wait()",
        "await asyncio.wait({task}, timeout=5)",
        "await asyncio.sleep(5)",
        "subprocess.run(['a'], timeout=5)",
        "', '.join(texts)",
        "process.wait(_STOP_SECONDS)",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ],
)
def test_a_wait_with_a_limit_is_not_found(source: str) -> None:
    assert list(waits(source)) == []
