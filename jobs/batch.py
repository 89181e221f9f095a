"""The job `batch`: everything that is made of one batch."""

from __future__ import annotations

import dagster as dg

batch_job = dg.define_asset_job(
    "batch",
    selection=dg.AssetSelection.assets("frames", "labels"),
    executor_def=dg.in_process_executor,
    description="Verify, measure and pack the frames of a batch, and record its labels.",
)
