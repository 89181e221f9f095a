from __future__ import annotations

import dataclasses

from inspection.bundle import GRAPH, GRAPH_U8S8
from inspection.decision import Rule, Thresholds
from store.keys import LineKey
from tests.data.spots.generate import CONTRACT
from tests.vision_assets.export.test_gates import (
    GOOD,
    LIMITS,
    ONE_ESCAPE,
    evaluation,
    measured,
    rate,
)
from vision_assets.config import LineConfig
from vision_assets.evaluation.figures import Bound, ClassFigures, Estimate
from vision_assets.export import card, gates
from vision_assets.export.card import CardFacts


def _class(name: str, escaped: int, of: int) -> ClassFigures:
    return ClassFigures(
        name=name, frames=of, parts=of, escapes=rate(escaped, of), recall=rate(of, of), auroc=0.9
    )


def _facts() -> CardFacts:
    figures = evaluation(rate(1, 20), rate(2, 100), rate(5, 120)).model_copy(
        update={
            "auroc": Estimate(value=0.953, low=0.9, high=0.98, method=""),
            "per_class": (_class("pit", 0, 9), _class("crack", 1, 8), _class("stain", 0, 0)),
            "certificate": {
                "escapes": Bound(count=1, of=20, upper=0.2161, limit=0.1, proven=False, further=26)
            },
            "warnings": ("role test has 20 defective parts: too few to say much",),
        }
    )
    found = [measured("onnxruntime", GRAPH, GOOD), measured("openvino", GRAPH_U8S8, ONE_ESCAPE)]
    evidence = [row for row, _ in found]
    tables = {(row.engine, row.graph): table for row, table in found}
    return CardFacts(
        line=LineKey("turin", "press-3"),
        bundle="0123abcd",
        settings=LineConfig(),
        contract=CONTRACT,
        rule=Rule(default=Thresholds(temperature=2, pass_below=0.25, reject_from=0.75)),
        figures=figures,
        counts={"train": {"good": 90, "pit": 7}, "test": {"good": 30, "crack": 3}},
        evidence=evidence,
        gates=gates.decide(evidence, tables, figures, LIMITS),
        provenance={"model": "m1", "snapshot": "s1"},
    )


def test_card_says_what_it_is_for_and_how_well_it_does() -> None:
    text = card.write(_facts())
    assert text.startswith("# Bundle 0123abcd of turin/press-3\n")
    assert "scaled to 32 x 32 pixels" in text
    assert "It knows the defects rust, burn." in text
    assert "| train | 90 | 0 | 7 |" in text
    assert "| test | 30 | 3 | 0 |" in text
    assert "5.0% (1 of 20; 0.0% to 100.0%)" in text
    assert "AUROC of frames 0.953 (interval 0.900 to 0.980)." in text
    assert "| every frame | 0.25 | 0.75 | 2 | 0 |" in text
    assert "vision-assets run --line turin/press-3" in text


def test_card_names_the_worst_class_first_and_what_was_never_seen() -> None:
    weak = card.write(_facts()).split("## Known weaknesses")[1].split("##")[0]
    assert weak.index("crack: escapes 12.5%") < weak.index("pit: escapes 0.0%")
    assert "No test part has stain" in weak
    assert "too few to say much" in weak
    assert "not proven, 26 further test parts" in card.write(_facts())


def test_card_lists_engines_and_gates() -> None:
    text = card.write(_facts())
    assert "| onnxruntime | graph.onnx | 0 of 3 | 0 |" in text
    assert "| openvino | graph.int8.u8s8.onnx | 1 of 3 | 1 |" in text
    assert "| parity | passed |" in text
    assert text == card.write(_facts())


def test_what_would_break_a_table_is_escaped() -> None:
    facts = dataclasses.replace(_facts(), counts={"a|b\nc": {"good": 1}})
    assert "| a\\|b c | 1 |" in card.write(facts)
