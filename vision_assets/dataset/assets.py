"""The asset `snapshot`: a line's frozen data set."""

import dagster as dg

from resources.store import StoreResource
from store.keys import LineKey
from vision_assets.dataset.snapshot import freeze
from vision_assets.partitions import every_batch, lines
from vision_assets.reporting import table


@dg.asset(
    deps=[dg.AssetDep("labels", partition_mapping=every_batch)],
    partitions_def=lines,
    group_name="dataset",
    kinds={"parquet"},
    owners=["team:quality"],
    code_version="1",
    check_specs=[dg.AssetCheckSpec("every_role_has_every_class", asset="snapshot")],
)
def snapshot(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Labelled frames of the line with their roles, split by group and never by frame."""
    out = freeze(store.open(), LineKey.parse(context.partition_key))
    counts = {role: _sentence(have) for role, have in out.summary["counts"].items()}
    warnings = out.summary["warnings"]
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
                passed=not warnings,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(warnings) or "train and test have every class",
            )
        ],
    )


def _sentence(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
