"""The errors: all are found in one place, independent of the module that has them."""

import sprocket_grpc.errors
from sprocket_grpc.errors import MOST_NAMED, NotFoundError, SprocketError
from sprocket_grpc.interceptors.status import to_status


def _all(base: type[SprocketError]) -> set[type[SprocketError]]:
    return {found for each in base.__subclasses__() for found in {each, *_all(each)}}


def test_every_error_is_imported_from_the_room() -> None:
    public = {each.__name__ for each in _all(SprocketError) if not each.__name__.startswith("_")}
    assert public <= set(sprocket_grpc.errors.__all__)


def test_an_error_with_many_ids_names_some_and_its_details_stay_under_8_kb() -> None:
    error = NotFoundError("sprocket", *(f"{number:036}" for number in range(1000)))
    assert len(error.identifiers) == MOST_NAMED
    assert "and more" in str(error)
    assert to_status(error, "r" * 128).ByteSize() < 8 << 10
