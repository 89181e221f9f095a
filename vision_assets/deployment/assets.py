"""The asset `release`: the line's bundle made live."""

import dagster as dg
from pydantic import Field

from resources.store import StoreResource
from store import artifacts
from store.errors import NotFound
from store.keys import LineKey
from vision_assets.deployment import promote as deployment
from vision_assets.partitions import lines


class ReleaseConfig(dg.Config):
    """Who promotes and why."""

    who: str = Field("dagster", description="who decides")
    why: str = Field("", description="the reason; stays in the ledger")
    force: bool = Field(False, description="promote although gates failed; needs a reason")


@dg.asset(
    deps=["bundle"],
    partitions_def=lines,
    group_name="release",
    kinds={"ledger"},
    owners=["team:quality"],
    code_version="1",
)
def release(
    context: dg.AssetExecutionContext, config: ReleaseConfig, store: StoreResource
) -> dg.MaterializeResult:
    """The line's bundle made live by an entry in its ledger; refused when a gate failed."""
    line, opened = LineKey.parse(context.partition_key), store.open()
    bundle = artifacts.current(opened, line, "bundles")
    if bundle is None:
        raise NotFound(f"line {line} has no bundle: materialise `bundle` first")
    entry = deployment.promote(
        opened, line, bundle.name, who=config.who, why=config.why, force=config.force
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{entry.number}:{entry.bundle}"),
        metadata=deployment.facts(line, entry),
    )
