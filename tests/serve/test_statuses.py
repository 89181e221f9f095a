from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from serve.statuses import MAX_MESSAGE_CHARACTERS, STATUSES, NoRelease, problem, status_number
from store import errors

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "inspection-v1.md"


def test_every_error_has_a_status() -> None:
    family = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.VisionError)
    }
    assert family - set(STATUSES) == {errors.UnreadableFrame}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.UnreadableFrame("empty", "no bytes"), "INVALID_ARGUMENT", "empty"),
        (errors.InvalidInput("no payload"), "INVALID_ARGUMENT", "invalid_input"),
        (NoRelease("promote one"), "FAILED_PRECONDITION", "no_release"),
    ],
)
def test_client_is_told_what_it_can_mend(error: Exception, status: str, code: str) -> None:
    found = problem(error)
    assert (found.status.name, found.code) == (status, code)
    assert (found.message, found.error_id) == (str(error), "")


@pytest.mark.parametrize(
    "error", [errors.UnreadableFrame("x", "y" * 9999), errors.InvalidInput("y" * 9999)]
)
def test_no_message_is_long(error: Exception) -> None:
    message = problem(error).message
    assert len(message) == MAX_MESSAGE_CHARACTERS
    assert message.endswith("y…")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotFound("/secret/path"), "NOT_FOUND", "not_found"),
        (errors.Conflict("/secret/path"), "ABORTED", "conflict"),
        (errors.Corrupt("/secret/path"), "DATA_LOSS", "corrupt"),
        (errors.Refused("/secret/path"), "FAILED_PRECONDITION", "refused"),
        (errors.Unavailable("/secret/path"), "UNAVAILABLE", "unavailable"),
        (errors.VisionError("/secret/path"), "INTERNAL", "internal"),
        (KeyError("/secret/path"), "INTERNAL", "internal"),
    ],
)
def test_client_gets_an_id_instead_of_what_is_inside(
    error: Exception, status: str, code: str
) -> None:
    found = problem(error)
    assert (found.status.name, found.code) == (status, code)
    assert "secret" not in found.message
    assert found.error_id in found.message
    assert len(found.error_id) == 32


def test_numbers_are_those_of_the_wire() -> None:
    assert status_number(grpc.StatusCode.INVALID_ARGUMENT) == 3
    assert status_number(grpc.StatusCode.UNAVAILABLE) == 14


def test_every_code_is_documented() -> None:
    reference = REFERENCE.read_text()
    raised = re.compile(r'UnreadableFrame\(\s*"(\w+)"')
    sources = [*ROOT.glob("inspection/**/*.py"), *ROOT.glob("serve/*.py")]
    reasons = {reason for path in sources for reason in raised.findall(path.read_text())}
    assert len(reasons) > 8
    for reason in reasons:
        assert f"`{reason}`" in reference
    for status, code in STATUSES.values():
        assert f"`{code}`" in reference
        assert f"`{status.name}`" in reference
