"""Missing libraries: what a person is told, and what stays a defect."""

import pytest

from sprocket_grpc.cli.libraries import server_libraries
from sprocket_grpc.errors import ExpectedError


def test_a_missing_library_is_named_with_what_the_command_needs() -> None:
    with pytest.raises(ExpectedError) as raised, server_libraries("`audit` needs a server"):
        raise ModuleNotFoundError(name="nowhere.at_all")
    assert str(raised.value) == "`audit` needs a server; nowhere.at_all is not installed"


@pytest.mark.parametrize("name", ["sprocket.v1.nothing_pb2", "sprocket_grpc.nothing"])
def test_a_missing_module_of_this_package_is_not_taken_for_a_library(name: str) -> None:
    with pytest.raises(ModuleNotFoundError), server_libraries("`audit` needs a server"):
        raise ModuleNotFoundError(name=name)
