import pytest
from pydantic import ValidationError

from inspection.contract import Contract, InputSpec

SPEC = {"channels": 1, "height": 32, "width": 48}
CONTRACT = {
    "task": "classification",
    "classes": ["scratch"],
    "input": SPEC,
    "embedding_size": 4,
    "map_height": 2,
    "map_width": 3,
    "stats_version": 1,
}


def test_a_contract_survives_storing() -> None:
    contract = Contract.model_validate(CONTRACT)
    assert Contract.model_validate_json(contract.model_dump_json()) == contract


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 2},
        {"channels": 4},
        {"height": 0},
        {"width": -1},
        {"reduced_decode": 3},
        {"max_pixels": 0},
        {"min_side_px": 0},
        {"crop": [0, 0, 10]},
        {"crop": [-1, 0, 10, 10]},
        {"crop": [0, -1, 10, 10]},
        {"crop": [0, 0, 0, 10]},
        {"crop": [0, 0, 10, 0]},
        {"colour": "rgb"},
    ],
)
def test_a_wrong_input_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InputSpec.model_validate({**SPEC, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"embedding_size": 0},
        {"map_height": 0},
        {"map_width": 0},
        {"classes": "scratch"},
        {"classes": ["pit", "pit"]},
        {"extra": 1},
    ],
)
def test_a_wrong_contract_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Contract.model_validate({**CONTRACT, **wrong})


@pytest.mark.parametrize("name", CONTRACT)
def test_nothing_of_a_contract_is_optional(name: str) -> None:
    with pytest.raises(ValidationError):
        Contract.model_validate({k: v for k, v in CONTRACT.items() if k != name})
