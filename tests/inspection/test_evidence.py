import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inspection import evidence
from inspection.decision import Label
from inspection.evidence import EngineEvidence, Gate, Golden
from store.errors import Corrupt
from tests.data.bundle import generate

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1)
GOLDENS = st.lists(
    st.builds(
        Golden,
        frame_id=NAMES.filter(lambda name: name not in (".", "..")),
        data=st.binary(max_size=700),
        camera=st.text(),
        product=st.text(),
        label=st.sampled_from(Label),
        score=FINITE,
        class_scores=st.lists(FINITE, max_size=3).map(tuple),
    ),
    unique_by=lambda golden: golden.frame_id,
    max_size=4,
)


@given(GOLDENS)
def test_golden_frames_come_back_as_they_were(golden: list[Golden]) -> None:
    files = evidence.to_attachments(golden=golden)
    assert evidence.to_attachments(golden=golden) == files
    found = evidence.read_golden(files[evidence.GOLDEN_FRAMES], files[evidence.GOLDEN_EXPECTED])
    assert found == golden


def test_evidence_and_gates_come_back_as_they_were() -> None:
    rows = [generate.proof("onnxruntime"), generate.proof("openvino", passed=False)]
    gates = [Gate(name="escapes", passed=False, value=0.1, limit=0.05, details={"by": {"a": [1]}})]
    files = evidence.to_attachments(evidence=rows, gates=gates)
    assert sorted(files) == [evidence.EVIDENCE, evidence.GATES]
    assert evidence.read_evidence(files[evidence.EVIDENCE]) == rows
    assert evidence.read_gates(files[evidence.GATES]) == gates


def test_only_what_is_given_is_written() -> None:
    assert evidence.to_attachments() == {}
    assert evidence.to_attachments(evidence=[]) == {evidence.EVIDENCE: b"[]"}


@pytest.mark.parametrize("data", [b"", b"{}", b'[{"name": 1}]', b"[1", b'[{"engine": "x"}]'])
def test_files_of_another_form_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"evidence\.json"):
        evidence.read_evidence(data)
    with pytest.raises(Corrupt, match=r"gates\.json"):
        evidence.read_gates(data)
    with pytest.raises(Corrupt, match=r"golden\.json"):
        evidence.read_golden(b"", data)


def test_golden_files_that_do_not_fit_each_other_are_corrupt() -> None:
    one = Golden("a", b"1", "", "", Label.PASS, 0.0, ())
    two = Golden("b", b"2", "", "", Label.PASS, 0.0, ())
    small, large = (evidence.to_attachments(golden=g) for g in ([one], [one, two]))
    for frames, expected in ((small, large), (large, small)):
        with pytest.raises(Corrupt, match=r"golden\.tar holds"):
            evidence.read_golden(frames[evidence.GOLDEN_FRAMES], expected[evidence.GOLDEN_EXPECTED])


def test_a_tar_that_is_none_is_corrupt() -> None:
    with pytest.raises(Corrupt, match=r"golden\.tar is not a tar"):
        evidence.read_golden(b"x" * 600, b"[]")


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": -1},
        {"flips": -1},
        {"added_escapes": -1},
        {"max_score_difference": -1e-9},
        {"max_score_difference": float("nan")},
        {"max_score_difference": float("inf")},
        {"latency_p50_ms": -1},
        {"latency_p99_ms": -1},
        {"engine_name": "x"},
    ],
)
def test_wrong_evidence_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EngineEvidence.model_validate({**generate.proof("onnxruntime").model_dump(), **wrong})


def test_a_gate_has_a_name() -> None:
    with pytest.raises(ValidationError):
        Gate(name="", passed=True)


def test_files_are_plain_json() -> None:
    files = evidence.to_attachments(evidence=[generate.proof("openvino")])
    assert json.loads(files[evidence.EVIDENCE])[0]["engine"] == "openvino"
