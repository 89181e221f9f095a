"""The asset `bundle`: an evaluated model exported, with its evidence."""

import dagster as dg

from inspection.evidence import EVIDENCE, Gate, read_evidence
from resources.store import StoreResource
from store import artifacts, tables
from store.errors import NotFound
from store.keys import LineKey
from vision_assets.export.attached import gates_of
from vision_assets.partitions import check, lines
from vision_assets.reporting import logged, table


@dg.asset(
    deps=["evaluation"],
    partitions_def=lines,
    group_name="release",
    kinds={"onnx"},
    owners=["team:learning"],
    code_version="1",
    pool="training",
    check_specs=[
        check(
            "bundle",
            "gates",
            lines,
            "All that `promote` asks for: parity of every engine, latency, limits.",
            blocking=True,
        ),
    ],
)
def bundle(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Everything that the line needs to answer a frame, named by its content.

    Graphs in float and INT8, contract, rule; attached are golden frames, the parity of every engine
    with torch, gates and the model card.
    """
    from vision_assets.export.export import export  # loads scipy and scikit-learn

    line, opened = LineKey.parse(context.partition_key), store.open()
    evaluation = artifacts.current(opened, line, "evaluations")
    if evaluation is None:
        raise NotFound(f"line {line} has no evaluation: materialise `evaluation` first")
    out = export(opened, line, evaluation.name, logged(context.log))
    artifacts.make_current(opened, line, out.kind, out.name)
    gates = gates_of(opened, line, out.name)
    attached = artifacts.attachments(opened, line, out.kind, out.name)
    evidence = read_evidence(tables.read_verified(opened, attached[EVIDENCE]))
    engines = {
        f"{row.engine} {row.graph}": f"{'may answer' if row.passed else 'may not answer'}: "
        f"{row.flips} flips on {row.frames} frames, p50 {row.latency_p50_ms:.1f} ms, "
        f"p99 {row.latency_p99_ms:.1f} ms"
        for row in evidence
    }
    return dg.MaterializeResult(
        data_version=dg.DataVersion(out.name),
        metadata={
            "name": out.name,
            "engines": dg.MetadataValue.md(table(engines)),
            "gates": dg.MetadataValue.md(table({gate.name: _sentence(gate) for gate in gates})),
            "card": dg.MetadataValue.md(tables.read_verified(opened, attached["card.md"]).decode()),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="gates",
                passed=bool(gates) and all(gate.passed for gate in gates),
                description="\n".join(
                    f"{gate.name}: {gate.message}" for gate in gates if not gate.passed
                )
                or "every gate passed",
            )
        ],
    )


def _sentence(gate: Gate) -> str:
    return f"{'passed' if gate.passed else 'FAILED'}: {gate.message}"
