"""The asset `snapshot`: a line's frozen data set."""

import dagster as dg

from resources.store import StoreResource
from store.keys import LineKey
from vision_assets.dataset.snapshot import freeze
from vision_assets.partitions import check, every_batch, lines
from vision_assets.reporting import table


@dg.asset(
    deps=[dg.AssetDep("labels", partition_mapping=every_batch)],
    partitions_def=lines,
    group_name="data",
    kinds={"parquet"},
    owners=["team:quality"],
    code_version="1",
    check_specs=[
        check(
            "snapshot",
            "every_role_has_every_class",
            lines,
            "Train and test have frames of every class.",
        ),
        check(
            "snapshot",
            "ids_are_unique",
            lines,
            "No frame id and no serial is in two batches.",
        ),
    ],
)
def snapshot(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Labelled frames of the line with their roles, split by group and never by frame."""
    out = freeze(store.open(), LineKey.parse(context.partition_key))
    counts = {role: _sentence(have) for role, have in out.summary["counts"].items()}
    repeated = out.summary["repetitions"]
    thin = [warning for warning in out.summary["warnings"] if warning not in repeated]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(out.name),
        metadata={
            "dagster/row_count": out.summary["frames"],
            "name": out.name,
            "groups": out.summary["groups"],
            "unlabelled": out.summary["unlabelled"],
            "roles": dg.MetadataValue.md(table(counts)),
            "split_by": dg.MetadataValue.json(out.summary["split_by"]),
            "parent": out.inputs["parent"] or "none",
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="every_role_has_every_class",
                passed=not thin,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(thin) or "train and test have every class",
            ),
            dg.AssetCheckResult(
                check_name="ids_are_unique",
                passed=not repeated,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(repeated) or "no frame id or serial is in two batches",
            ),
        ],
    )


def _sentence(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
