"""The job `deploy`: make a line's bundle live; and releases that were made without it."""

from __future__ import annotations

import dagster as dg

from jobs.launch import open_instance
from store.keys import LineKey
from store.ledger import Entry
from vision_assets.deployment.promote import facts

deploy_job = dg.define_asset_job(
    "deploy",
    selection=dg.AssetSelection.assets("release"),
    executor_def=dg.in_process_executor,
    description="Promote the line's bundle, when its gates have passed.",
)


def report_release(line: LineKey, entry: Entry) -> None:
    """Tell Dagster of a release that the command line made: its UI shows `release` as made."""
    with open_instance() as instance:
        instance.add_dynamic_partitions("lines", [str(line)])
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key="release",
                partition=str(line),
                description=f"{entry.action} by {entry.who} on the command line",
                metadata=facts(line, entry),
                tags={"dagster/data_version": f"{entry.number}:{entry.bundle}"},
            )
        )
