"""The asset `frames`: a batch in verified shards."""

import dagster as dg

from resources.store import StoreResource
from store.keys import BatchKey
from vision_assets import config
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.ingest.report import IngestReport
from vision_assets.partitions import batches, check
from vision_assets.reporting import logged


@dg.asset(
    partitions_def=batches,
    group_name="data",
    kinds={"parquet"},
    owners=["team:quality"],
    code_version="1",
    check_specs=[
        check(
            "frames",
            "few_broken_files",
            batches,
            "No more files are broken than the line's settings allow.",
            blocking=True,
        ),
        check(
            "frames",
            "metadata_matches",
            batches,
            "Every metadata row fits its frame, and no frame is held twice.",
        ),
    ],
)
def frames(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Frames of a batch: verified by decoding, measured, packed with their original bytes.

    Broken files are in the batch's quarantine table with their reasons, never lost.
    """
    key = BatchKey.parse(context.partition_key)
    opened = store.open()
    settings = config.load(opened, key.line_key)
    report = ingest_batch(opened, key, settings, logged(context.log))
    most = settings.ingest.max_broken_share
    return dg.MaterializeResult(
        data_version=dg.DataVersion(report.hash),
        metadata={
            "dagster/row_count": report.frames,
            "added": report.added,
            "quarantined": report.quarantined,
            "duplicates": report.duplicates,
            "metadata_without_file": report.without_file,
            "size_mb": round(report.bytes / 1e6, 1),
            "changed": report.changed,
            "manifest": report.number,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="few_broken_files",
                passed=report.broken_share <= most,
                description=(
                    f"{report.broken_share:.1%} of the files are broken, {most:.1%} are allowed. "
                    f"`vision-assets quarantine {key}` lists them with their reasons; deliver them "
                    "again, or raise `ingest: {max_broken_share: …}` in the line's settings."
                ),
            ),
            dg.AssetCheckResult(
                check_name="metadata_matches",
                passed=not report.metadata_faults and not report.duplicates,
                severity=dg.AssetCheckSeverity.WARN,
                description=_what_does_not_match(key, report) or "every row fits its frame",
            ),
        ],
    )


def _what_does_not_match(key: BatchKey, report: IngestReport) -> str:
    found = report.metadata_faults[:20]
    if report.duplicates:
        found.append(
            f"{report.duplicates} files are frames that are held already, in this batch or another "
            f"of the line: left out; `vision-assets quarantine {key}` says where"
        )
    return "\n".join(found)
