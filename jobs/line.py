"""The job `line`: from labelled frames to a bundle with its evidence."""

from __future__ import annotations

import dagster as dg

line_job = dg.define_asset_job(
    "line",
    selection=dg.AssetSelection.assets("snapshot", "model", "evaluation", "bundle"),
    executor_def=dg.in_process_executor,
    description="Freeze, train, evaluate and export a line. Finished steps find their results.",
)
