"""The card of a bundle: what it is, what it can and cannot do, in words for who runs the line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspection.contract import Contract
from inspection.decision import Rule, Thresholds
from inspection.evidence import EngineEvidence, Gate
from store.keys import LineKey
from vision_assets.config import LineConfig
from vision_assets.evaluation.figures import ClassFigures, Evaluation, Rate
from vision_assets.learning.registry import needs_defects

FILE = "card.md"
_WORST = 3


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    Attributes:
        line: Whose bundle.
        bundle: Its name.
        settings: Of the line, for its costs and limits.
        contract: Of the bundle.
        rule: Of the bundle.
        figures: Of the evaluation.
        counts: Frames of the snapshot by role and class.
        evidence: Per engine and graph.
        gates: All of the bundle's.
        provenance: What it was made from, by name.
    """

    line: LineKey
    bundle: str
    settings: LineConfig
    contract: Contract
    rule: Rule
    figures: Evaluation
    counts: Mapping[str, Mapping[str, int]]
    evidence: Sequence[EngineEvidence]
    gates: Sequence[Gate]
    provenance: Mapping[str, Any]


def write(facts: CardFacts) -> str:
    """The card as Markdown; equal facts give equal cards."""
    return "\n".join(
        [
            *_purpose(facts),
            *_data(facts),
            *_figures(facts),
            *_weak(facts),
            *_rule(facts),
            *_engines(facts),
            *_gates(facts),
            *_again(facts),
            "",
        ]
    )


def _purpose(facts: CardFacts) -> Iterator[str]:
    spec, classes = facts.contract.input, ", ".join(facts.contract.classes)
    colour = "grey" if spec.channels == 1 else "colour"
    yield f"# Bundle {facts.bundle} of {facts.line}"
    yield ""
    yield (
        f"Judges single {colour} frames of line {facts.line}, as its cameras took them, and says "
        "PASS, REJECT or REVIEW. A part is as bad as its worst frame. Frames are "
        f"{'cropped and ' if spec.crop else ''}scaled to {spec.width} x {spec.height} pixels."
    )
    yield ""
    knows = (
        f"It knows the defects {classes}. It was never shown others: it may miss a new kind of "
        "defect"
        if needs_defects(facts.contract.task)
        else "It has learnt from good frames alone, rejects what is unlike them, names no defect"
    )
    yield f"{knows}, and it was not tried with other parts, cameras or lighting than those below."


def _data(facts: CardFacts) -> Iterator[str]:
    kinds = sorted({kind for role in facts.counts.values() for kind in role} - {"good"})
    columns = ["good", *kinds]
    yield from _heading("Data")
    yield "Labelled frames by role; a part, group or batch is in one role only."
    yield ""
    yield from _table(
        ["role", *columns],
        [[role, *(have.get(kind, 0) for kind in columns)] for role, have in facts.counts.items()],
    )
    yield ""
    yield "`train` and `tune` made the weights, `calibrate` the thresholds, `test` these figures."


def _figures(facts: CardFacts) -> Iterator[str]:
    found = facts.figures
    yield from _heading("Figures")
    yield f"On the role `test`; intervals at {found.confidence:.0%}, rates per part."
    yield ""
    rows = [
        [
            "escapes (defective parts passed)",
            _rate(found.escapes),
            _rate(found.band_closed.escapes),
        ],
        [
            "overkill (good parts rejected)",
            _rate(found.overkill),
            _rate(found.band_closed.overkill),
        ],
        ["review (parts a person looks at)", _rate(found.review), "0"],
        ["cost per part", f"{found.cost:.3g}", f"{found.band_closed.cost:.3g}"],
    ]
    yield from _table(["", "with the review band", "with the band closed"], rows)
    if found.auroc:
        yield ""
        area = found.auroc
        yield f"AUROC of frames {area.value:.3f} (interval {area.low:.3f} to {area.high:.3f})."
    if where := found.localisation:
        yield ""
        yield (
            f"Maps against {where.regions} masked regions: pixel AUROC {where.pixel_auroc}, "
            f"AUPRO {where.aupro}."
        )
    if found.by_size:
        yield ""
        rows = [
            [f"{size.from_share:g} to {size.to_share:g}", _rate(size.escapes)]
            for size in found.by_size
        ]
        yield from _table(["share of the frame that the defect covers", "escapes"], rows)
    yield ""
    yield "What the test parts prove:"
    yield ""
    for name, bound in found.certificate.items():
        proof = (
            "proven"
            if bound.proven
            else (f"not proven, {bound.further} further test parts without a failure would")
        )
        yield f"- {name}: at most {bound.upper:.1%}, the limit is {bound.limit:.1%}: {proof}"


def _weak(facts: CardFacts) -> Iterator[str]:
    seen = [kind for kind in facts.figures.per_class if kind.parts]
    unseen = [kind.name for kind in facts.figures.per_class if not kind.parts]
    yield from _heading("Known weaknesses")
    for kind in sorted(seen, key=_weakness)[:_WORST]:
        area = "-" if kind.auroc is None else f"{kind.auroc:.3f}"
        yield (
            f"- {kind.name}: escapes {_rate(kind.escapes)}, named rightly "
            f"{_rate(kind.recall)}, AUROC against good frames {area}"
        )
    if unseen:
        yield f"- No test part has {', '.join(unseen)}: nothing is known of how they are found."
    for warning in facts.figures.warnings:
        yield f"- {warning}"


def _weakness(kind: ClassFigures) -> tuple[float, float, str]:
    return -(kind.escapes.rate or 0.0), kind.recall.rate or 0.0, kind.name


def _rule(facts: CardFacts) -> Iterator[str]:
    costs = facts.settings.costs
    yield from _heading("Decision rule")
    yield (
        f"p = sigmoid(score / temperature + bias). Chosen on `calibrate` for an escape at "
        f"{costs.escape:g}, an overkill at {costs.overkill:g} and a review at {costs.review:g}."
    )
    yield ""
    cuts = {"every frame": facts.rule.default, **facts.rule.special}
    yield from _table(
        ["for", "PASS below p", "REJECT from p", "temperature", "bias"],
        [[name, *_cells(cut)] for name, cut in cuts.items()],
    )


def _cells(cut: Thresholds) -> list[str]:
    return [
        f"{value:.4g}" for value in (cut.pass_below, cut.reject_from, cut.temperature, cut.bias)
    ]


def _engines(facts: CardFacts) -> Iterator[str]:
    yield from _heading("Engines")
    yield (
        "Compared with torch on every test frame, from bytes to verdict, on the machine that "
        "exported. Engines without a row here, or with `no`, do not answer on the line."
    )
    yield ""
    yield from _table(
        [
            "engine",
            "graph",
            "flips",
            "added escapes",
            "largest score difference",
            "p50 ms",
            "p99 ms",
            "may answer",
        ],
        [
            [
                row.build or row.engine,
                row.graph,
                f"{row.flips} of {row.frames}",
                row.added_escapes,
                f"{row.max_score_difference:.2g}",
                f"{row.latency_p50_ms:.1f}",
                f"{row.latency_p99_ms:.1f}",
                "yes" if row.passed else "no",
            ]
            for row in facts.evidence
        ],
    )


def _gates(facts: CardFacts) -> Iterator[str]:
    yield from _heading("Gates")
    yield from _table(
        ["gate", "", "what was found"],
        [[gate.name, "passed" if gate.passed else "FAILED", gate.message] for gate in facts.gates],
    )


def _again(facts: CardFacts) -> Iterator[str]:
    yield from _heading("How to make it again")
    yield "The same frames, labels, settings and code give the same bundle:"
    yield ""
    yield f"    vision-assets run --line {facts.line}"
    yield ""
    yield from (f"- {name}: `{value}`" for name, value in facts.provenance.items())


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"## {text}", "")


def _rate(rate: Rate) -> str:
    if rate.rate is None:
        return "nothing to count"
    return f"{rate.rate:.1%} ({rate.count} of {rate.of}; {rate.low:.1%} to {rate.high:.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield _line(head)
    yield "|" + "---|" * len(head)
    yield from map(_line, rows)


def _line(cells: Sequence[object]) -> str:
    return (
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
    )
