import re
from pathlib import Path

import pytest

from inspection import bundle, evidence
from inspection.bundle import Bundle
from inspection.choose import LEAST_TOLERANCE, choose, chosen, replay
from inspection.contract import Contract
from inspection.decision import Label
from inspection.engines.engine import open_engine
from inspection.evidence import EngineEvidence, Golden
from inspection.inspector import Inspector
from store import artifacts
from store.errors import Refused, Unavailable
from store.keys import LineKey
from store.root import Store
from tests.data.bundle import generate

LINE = LineKey("turin", "press-3")


def proof(difference: float = 0.0) -> EngineEvidence:
    row = generate.proof("onnxruntime")
    return row.model_copy(update={"max_score_difference": difference})


def with_evidence(
    store: Store, cache: Path, rows: list[EngineEvidence], golden: list[Golden] | None = None
) -> Bundle:
    name = generate.write_bundle(store, LINE).name
    files = evidence.to_attachments(evidence=rows, golden=golden)
    artifacts.attach(store, LINE, bundle.KIND, name, files)
    return bundle.fetch(store, LINE, name, cache)


def changed(golden: list[Golden], **changes: object) -> list[Golden]:
    return [Golden(**{**one.__dict__, **changes}) for one in golden]


@pytest.fixture
def inspector(tiny: Bundle) -> Inspector:
    return Inspector(tiny.contract, tiny.rule, open_engine("onnxruntime", tiny.folder))


def test_one_engine_answers_and_the_others_have_their_reason(tiny: Bundle) -> None:
    choice = choose(tiny)
    assert choice.engine.name in ("onnxruntime", "openvino")
    assert choice.engine.graph == bundle.GRAPH
    others = {rejection.engine: rejection.why for rejection in choice.rejected}
    (slower,) = {"onnxruntime", "openvino"} - {choice.engine.name}
    found = re.fullmatch(r"slower here: (.+) ms against (.+)", others[slower])
    assert found is not None
    assert float(found[1]) >= float(found[2]) == round(choice.latency_ms, 2)
    assert choice.engine.build in str(choice)
    assert choice.latency_ms > 0


def test_an_engine_without_evidence_does_not_answer(store: Store, tmp_path: Path) -> None:
    choice = choose(with_evidence(store, tmp_path, [generate.proof("openvino")]))
    assert choice.engine.name == "openvino"
    reasons = [str(rejection) for rejection in choice.rejected]
    assert "onnxruntime on any graph: no parity evidence in the bundle" in reasons


def test_an_engine_whose_evidence_failed_does_not_answer(store: Store, tmp_path: Path) -> None:
    rows = [generate.proof("onnxruntime", passed=False), generate.proof("openvino")]
    choice = choose(with_evidence(store, tmp_path, rows))
    assert choice.engine.name == "openvino"
    reasons = [str(rejection) for rejection in choice.rejected]
    assert "onnxruntime on graph.onnx: its evidence failed: 1 flips, 0 added escapes" in reasons


def test_engines_and_graphs_that_are_not_here_do_not_answer(store: Store, tmp_path: Path) -> None:
    rows = [
        generate.proof("onnxruntime-cuda"),
        generate.proof("onnxruntime", bundle.GRAPH_U8S8),
        generate.proof("openvino"),
    ]
    choice = choose(with_evidence(store, tmp_path, rows))
    assert choice.engine.name == "openvino"
    reasons = {f"{r.engine} {r.graph}": r.why for r in choice.rejected}
    assert reasons["onnxruntime-cuda graph.onnx"] == "not installed here"
    assert "no graph graph.int8.u8s8.onnx" in reasons["onnxruntime graph.int8.u8s8.onnx"]


def test_only_engines_that_are_asked_for_are_tried(tiny: Bundle) -> None:
    choice = choose(tiny, engines=["openvino"])
    assert choice.engine.name == "openvino"
    assert any("not among those asked for (openvino)" in str(r) for r in choice.rejected)


def test_when_none_may_answer_all_reasons_are_given(tiny: Bundle) -> None:
    with pytest.raises(Unavailable) as caught:
        choose(tiny, engines=["tensorrt"])
    assert str(caught.value).count("not among those asked for") == 2


def test_golden_frames_that_are_not_reproduced_exclude_an_engine(
    store: Store, tmp_path: Path, tiny: Bundle
) -> None:
    rows = [generate.proof("onnxruntime"), generate.proof("openvino")]
    wrong = changed(tiny.golden(), score=0.0)
    with pytest.raises(Unavailable, match="golden-0: PASS with score") as caught:
        choose(with_evidence(store, tmp_path, rows, wrong))
    assert str(caught.value).count("golden-2") == 2


def test_a_bundle_without_golden_frames_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no golden frames"):
        choose(with_evidence(store, tmp_path, [], []))


def test_the_golden_frames_of_a_good_bundle_are_reproduced(
    inspector: Inspector, tiny: Bundle
) -> None:
    assert replay(inspector, tiny.golden(), proof()) == []


def test_a_flip_is_a_fault_whatever_the_tolerance(inspector: Inspector, tiny: Bundle) -> None:
    wrong = changed(tiny.golden()[2:], label=Label.PASS)
    (fault,) = replay(inspector, wrong, proof(100.0))
    assert fault.startswith("golden frame golden-2: REJECT")
    assert "expected PASS" in fault


def test_a_reviewed_golden_frame_may_get_another_verdict(
    inspector: Inspector, tiny: Bundle
) -> None:
    """An INT8 graph may move a score out of the review band: that is no flip."""
    assert replay(inspector, changed(tiny.golden(), label=Label.REVIEW), proof()) == []


@pytest.mark.parametrize(
    ("difference", "shift", "faults"),
    [
        (0.0, 0.5 * LEAST_TOLERANCE, 0),
        (0.0, 2 * LEAST_TOLERANCE, 1),
        (0.1, 0.19, 0),
        (0.1, 0.21, 1),
        (0.0, float("nan"), 1),
    ],
)
def test_scores_stay_within_what_the_evidence_found(
    inspector: Inspector, tiny: Bundle, difference: float, shift: float, faults: int
) -> None:
    one = tiny.golden()[0]
    for sign in (-1, 1):
        moved = changed([one], score=one.score + sign * shift)
        assert len(replay(inspector, moved, proof(difference))) == faults


def test_a_golden_frame_that_cannot_be_read_is_a_fault(inspector: Inspector, tiny: Bundle) -> None:
    (fault,) = replay(inspector, changed(tiny.golden()[:1], data=b""), proof())
    assert fault == "golden frame golden-0: the file has no bytes"


def test_preprocessing_that_differs_is_seen(inspector: Inspector, tiny: Bundle) -> None:
    """Another crop in the contract: the graph is right, the answers are not."""
    accepts = tiny.contract.model_dump()
    accepts["input"]["crop"] = (0, 0, 6, 6)
    other = Inspector(Contract.model_validate(accepts), tiny.rule, inspector.engine)
    assert replay(other, tiny.golden(), proof()) != []


def test_the_engine_that_answered_before_stays_unless_it_is_much_slower(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = {"onnxruntime": 1.0, "openvino": 1.0}
    monkeypatch.setattr("inspection.choose.latency_ms", lambda engine, _: took[engine.name])
    builds = {}
    for name in took:
        took |= {"onnxruntime": 2.0, "openvino": 2.0, name: 1.0}
        builds[name] = chosen(choose(tiny).engine)
        assert builds[name].engine == name
    took |= {"onnxruntime": 1.0, "openvino": 1.4}
    choice = choose(tiny, before=builds["openvino"])
    assert (choice.engine.name, choice.latency_ms) == ("openvino", 1.4)
    (other,) = [one for one in choice.rejected if one.engine == "onnxruntime"]
    assert other.why == "not chosen before, hardly faster here: 1.00 ms against 1.40"
    another_build = builds["openvino"]._replace(build="older")
    assert choose(tiny, before=another_build).engine.name == "onnxruntime"
    took["openvino"] = 1.6
    assert choose(tiny, before=builds["openvino"]).engine.name == "onnxruntime"
    assert choose(tiny, engines=["openvino"]).engine.name == "openvino"
