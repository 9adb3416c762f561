"""Whatever a field may hold is the same after an export and an import, in every format."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sprocket_grpc.cli.resources import tables
from sprocket_grpc.cli.resources.catalogue import Resource, catalogue
from sprocket_grpc.cli.resources.files import FORMATS, Source
from sprocket_grpc.cli.resources.reading import read
from sprocket_grpc.cli.resources.values import fill

WRITERS: dict[str, tables.Writer] = {"csv": tables.csv_lines, "json": tables.json_array, "jsonl": tables.json_lines}

# Everything but surrogates, which UTF-8 lacks, and NUL, which the contract refuses; and often what formats escape.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from('\r\n",;\t\u2028\x85')
)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_STRING: TEXT,
}
IMPORTED = [name for name, each in catalogue().items() if "Create" in each.methods]


def messages(resource: Resource) -> st.SearchStrategy[Any]:
    fields = {each.name: VALUES[each.cpp_type] for each in resource.transferred}
    return st.builds(resource.message, **fields).filter(lambda each: each != resource.message())


@pytest.mark.parametrize("name", IMPORTED)
@pytest.mark.parametrize("kind", FORMATS)
def test_all_values_of_all_fields_survive_an_export_and_an_import(name: str, kind: str) -> None:
    resource = catalogue()[name]

    @given(st.lists(st.lists(messages(resource), max_size=3), max_size=2))
    @example([[resource.message(display_name=each, id="1") for each in ("\r", "\n", "\r\n", '"', ",", " ", "\ufeff")]])
    @settings(max_examples=100, deadline=None)
    def check(pages: list[list[Any]]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "file"
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(WRITERS[kind](pages, resource.transferred))
            found = []
            for line in read(Source("file", path, kind), resource, set()):
                assert not line.problem
                found.append(message := resource.message())
                assert not fill(message, line.values)
        assert found == [each for page in pages for each in page]

    check()
