"""The asset `labels`: what is said of a batch's frames."""

import dagster as dg

from resources.store import StoreResource
from store.keys import BatchKey
from vision_assets import config
from vision_assets.labels.record import record_batch
from vision_assets.partitions import batches, check
from vision_assets.reporting import logged


@dg.asset(
    deps=["frames"],
    partitions_def=batches,
    group_name="data",
    kinds={"parquet"},
    owners=["team:quality"],
    code_version="1",
    check_specs=[
        check(
            "labels",
            "labels_fit_frames",
            batches,
            "Every label points to a frame, lies inside it and has a known class.",
        ),
    ],
)
def labels(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Label events of a batch, append-only; the current label of a frame is a view over them."""
    key = BatchKey.parse(context.partition_key)
    opened = store.open()
    report = record_batch(opened, key, config.load(opened, key.line_key), logged(context.log))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(report.hash),
        metadata={
            "dagster/row_count": report.events,
            "added": report.added,
            "labelled": report.labelled,
            "good": report.good,
            "defect": report.defect,
            "of_quarantined_files": report.quarantined,
            "classes": dg.MetadataValue.json(dict(report.classes)),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="labels_fit_frames",
                passed=not report.faults,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(report.faults[:20])
                or "every label points to a frame, lies inside it and has a known class",
            )
        ],
    )
