"""`make mutate`: what it breaks, which tests it runs, and what it says of them."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from reliability.mutate.__main__ import main, share
from reliability.mutate.choice import chosen_tests, near
from reliability.mutate.mutants import Mutant, core_files, draw, mutants_of
from reliability.mutate.trial import Copy, Outcome, copy_of

_ROOT = Path(__file__).parents[2]
_LIMIT_SECONDS = 60


def _texts(folder: Path, source: str) -> set[str]:
    """Return what all mutants of a source say."""
    (folder / "module.py").write_text(source)
    mutants = mutants_of(folder, Path("module.py"))
    return {each.text for each in draw(mutants, len(mutants), seed=1)}


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("a = b < c", "a = b <= c"),
        ("a = b >= c", "a = b > c"),
        ("a = b is None", "a = b is not None"),
        ("a = time.monotonic() > b", "a = b >= time.monotonic()"),
        ("a = 10", "a = 11"),
        ("a = 10", "a = 9"),
        ("a = 20_000", "a = 40000"),
        ("a = True", "a = False"),
        ("a = b and c", "a = (b or c)"),
        ("a = not b", "a = bool(b)"),
        ("if a.b(): c", "if (not a.b()): c"),
        ("a.release()", "pass"),
        ("async def a():\n    await b.wait()", "async def a():\n    pass"),
        ("a.b += c", "pass"),
        ("a.b = c", "pass"),
        ("try:\n    a\nfinally:\n    b()\n    c()", "try:\n    a\nfinally:\n    pass"),
        ("with a.lock: b", 'with __import__("contextlib").nullcontext(): b'),
        (
            "async def a():\n    async with asyncio.timeout(b): c",
            "async def a():\n    async with asyncio.timeout(None): c",
        ),
        ("asyncio.wait(a, timeout=b)", "asyncio.wait(a, timeout=None)"),
        ("a = asyncio.shield(b)", "a = b"),
        ("a = b(c, d)", "a = b(d, c)"),
        ('a = "SELECT id FROM b ORDER BY id FOR UPDATE"', 'a = "SELECT id FROM b FOR UPDATE"'),
        ('a = "SELECT id FROM b FOR NO KEY UPDATE"', 'a = "SELECT id FROM b"'),
        ('a = f"SELECT id FROM {b} FOR UPDATE SKIP LOCKED"', 'a = f"SELECT id FROM {b} FOR UPDATE"'),
        ("a = select(b).with_for_update()", "a = select(b)"),
        ('a = "ä", b(c, d)', 'a = "ä", b(d, c)'),
    ],
)
def test_a_mutant_breaks_one_thing(tmp_path: Path, source: str, mutant: str) -> None:
    assert mutant in _texts(tmp_path, source)


@pytest.mark.parametrize(
    "source",
    [
        '"""It is 5."""',
        "def a(b: Literal[5]) -> Literal[6]: ...",
        "a: Literal[5]",
        "@dataclass(frozen=True)\nclass A: ...",
        "a = b(c, c)",
        'a = f"{5}"',
        "A_SECONDS = 60",
        "_BUCKETS = [0.1, -1, 10 << 20]",
        "a = min(b, c)",
        "a = zip(b, strict=True)",
        "if TYPE_CHECKING: from a import B",
        'A = TypeVar("A", covariant=True)',
        '_log.debug("a")',
    ],
)
def test_what_changes_nothing_is_no_mutant(tmp_path: Path, source: str) -> None:
    assert not _texts(tmp_path, source)


def test_the_same_seed_draws_the_same_mutants_of_many_kinds() -> None:
    mutants = [mutant for path in core_files(_ROOT)[:10] for mutant in mutants_of(_ROOT, path)]
    drawn = draw(mutants, 20, seed=1)
    assert drawn == draw(mutants, 20, seed=1) != draw(mutants, 20, seed=2)
    assert len(drawn) == 20
    assert len({each.kind for each in drawn}) > 5


def test_a_mutant_is_shown_as_its_place_and_the_lines_that_differ(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\nb = c < d\n")
    mutant = next(each for each in mutants_of(tmp_path, Path("module.py")) if each.kind == "comparison")
    assert str(mutant) == "module.py:2  comparison\n-b = c < d\n+b = c <= d"


_FOLDERS = {each.parent: each for each in core_files(_ROOT) if len(each.parts) > 2}
_NEAR = [*_FOLDERS.values(), *(each for each in core_files(_ROOT) if len(each.parts) == 2)]


@pytest.mark.parametrize("path", _NEAR, ids=str)
def test_each_module_of_the_core_has_the_chosen_tests_its_room(path: Path) -> None:
    room = [each for each in near(_ROOT, path) if each.name != "test_contract.py"]
    assert room
    if len(path.parts) > 2:
        assert any(each.parts[1] == path.parts[1] for each in room)


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("reliability/http2.py", "tests/reliability/test_mutate.py"),
        ("migrations/versions/0001_create_tables.py", "tests/storage/test_migrations.py"),
        ("sprocket_grpc/services/standard/writes.py", "tests/conformance/test_update.py"),
        ("README.md", "tests/documents/test_readme.py"),
    ],
)
def test_what_is_no_module_of_a_room_has_tests_too(changed: str, test: str) -> None:
    assert Path(test) in near(_ROOT, Path(changed))


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("sprocket_grpc/storage/listing.py", "tests/conformance/test_lists.py"),
        ("sprocket_grpc/storage/postgres/lane.py", "tests/services/test_expensive_calls.py"),
        ("sprocket_grpc/interceptors/tracing.py", "tests/telemetry/test_traces.py"),
    ],
)
def test_tests_of_other_rooms_are_chosen_for_modules_that_they_check_through_the_service(
    changed: str, test: str
) -> None:
    assert Path(test) in chosen_tests(_ROOT, Path(changed))


def test_the_tests_of_locks_run_first_for_sql() -> None:
    assert chosen_tests(_ROOT, Path("sprocket_grpc/storage/cascade.py"), "SQL")[0].name == "test_locks.py"


def test_slow_tests_run_last() -> None:
    chosen = chosen_tests(_ROOT, Path("sprocket_grpc/storage/listing.py"))
    assert chosen.index(Path("tests/conformance/test_lists.py")) < chosen.index(Path("tests/storage/test_failover.py"))


def test_the_tests_that_name_a_module_run_first() -> None:
    first, *others = chosen_tests(_ROOT, Path("sprocket_grpc/auth/jwks_source.py"))
    assert first == Path("tests/auth/test_issuer_keys.py")
    assert first not in others
    assert Path("tests/auth/test_api_keys.py") in others


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a module, a test of it, and a test that always fails."""
    (tmp_path / "core.py").write_text("most = 3\nother = 5\n")
    (tmp_path / "test_core.py").write_text("import core\n\ndef test_most(): assert core.most == 3\n")
    (tmp_path / "test_broken.py").write_text("def test_broken(): assert False\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "ignored.log").write_text("")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "test", "outcome", "by"),
    [
        (1, "test_core.py", Outcome.NOTICED, "test_core.py::test_most"),
        (2, "test_core.py", Outcome.UNNOTICED, ""),
        (2, "test_broken.py", Outcome.UNCLEAR, "test_broken.py::test_broken"),
    ],
)
def test_a_mutant_is_noticed_if_a_test_fails_that_passes_without_it(
    project: Path, line: int, test: str, outcome: Outcome, by: str
) -> None:
    mutant = next(each for each in mutants_of(project, Path("core.py")) if each.line == line)
    with copy_of(project) as folder:
        result = Copy(folder, "", _LIMIT_SECONDS).try_mutant(mutant, [Path(test)])
        assert (folder / "core.py").read_text() == mutant.source
    assert (result.outcome, result.test) == (outcome, by)


def test_a_test_that_fails_by_chance_says_nothing(project: Path) -> None:
    (project / "test_core.py").write_text(
        "from pathlib import Path\n\n"
        "def test_once():\n"
        "    was_here = Path('here').exists()\n"
        "    Path('here').touch()\n"
        "    assert was_here\n"
    )
    mutant = mutants_of(project, Path("core.py"))[0]
    with copy_of(project) as folder:
        assert Copy(folder, "", _LIMIT_SECONDS).try_mutant(mutant, [Path("test_core.py")]).outcome is Outcome.UNCLEAR


def test_tests_that_take_too_long_say_nothing(project: Path) -> None:
    (project / "test_core.py").write_text("import time\n\ndef test_most(): time.sleep(600)\n")
    mutant = mutants_of(project, Path("core.py"))[0]
    with copy_of(project) as folder:
        assert Copy(folder, "", 1).try_mutant(mutant, [Path("test_core.py")]).outcome is Outcome.UNCLEAR


def test_the_checkout_is_not_changed(project: Path) -> None:
    with copy_of(project) as folder:
        copied = {each.name for each in folder.iterdir()}
        (folder / "core.py").write_text("")
    assert copied == {"core.py", "test_core.py", "test_broken.py", ".gitignore"}
    assert (project / "core.py").read_text()


def test_a_seed_repeats_a_run_and_an_unknown_file_is_refused() -> None:
    first, second = (CliRunner().invoke(main, ["--list", "--seed", "1", "--only", "slots"]) for _ in range(2))
    assert first.output == second.output
    assert first.output.startswith("SEED=1: 20 of the ")
    refused = CliRunner().invoke(main, ["--only", "nonsense"])
    assert refused.exit_code == 2
    assert "no module of the core has this in its path" in refused.output


def test_the_share_is_of_those_of_which_the_tests_said_something() -> None:
    outcomes = [Outcome.NOTICED, Outcome.NOTICED, Outcome.NOTICED, Outcome.UNNOTICED, Outcome.UNCLEAR]
    assert share(outcomes) == "3 of 4 noticed (75%), 1 unclear"
    assert share([]) == "0 of 0 noticed, 0 unclear"


def test_each_mutant_of_the_core_keeps_its_path_and_line() -> None:
    mutants: list[Mutant] = mutants_of(_ROOT, Path("sprocket_grpc/slots.py"))
    assert {each.path for each in mutants} == {Path("sprocket_grpc/slots.py")}
    assert all(each.line <= len(each.source.splitlines()) for each in mutants)
