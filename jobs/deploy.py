"""The job `deploy`: make a line's bundle live."""

from __future__ import annotations

import dagster as dg

deploy_job = dg.define_asset_job(
    "deploy",
    selection=dg.AssetSelection.assets("release"),
    executor_def=dg.in_process_executor,
    description="Promote the line's bundle, when its gates have passed.",
)
