"""The asset `model`: weights trained on the line's snapshot."""

import dagster as dg

from resources.store import StoreResource
from store import artifacts, tables
from store.errors import NotFound
from store.keys import LineKey
from vision_assets.config import LineConfig, load
from vision_assets.partitions import lines
from vision_assets.reporting import logged, picture
from vision_assets.training.train import train


class TrainingConfig(dg.Config):
    """What this run changes of the line's training settings; an empty field changes nothing."""

    backbone: str | None = None
    height_px: int | None = None
    width_px: int | None = None
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    pasted_defects: float | None = None
    seed: int | None = None

    def applied_to(self, settings: LineConfig) -> LineConfig:
        """The line's settings with this run's changes, validated."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        merged = {**settings.model_dump(), "training": {**settings.training.model_dump(), **given}}
        return LineConfig.model_validate(merged)


@dg.asset(
    deps=["snapshot"],
    partitions_def=lines,
    group_name="model",
    kinds={"pytorch", "lightning"},
    owners=["team:learning"],
    code_version="1",
    pool="training",
)
def model(
    context: dg.AssetExecutionContext, config: TrainingConfig, store: StoreResource
) -> dg.MaterializeResult:
    """A model trained on the roles `train` and `tune`, in a process of its own.

    Killed, it goes on from its last checkpoint. The same snapshot, settings and code find the
    model that is there.
    """
    line, opened = LineKey.parse(context.partition_key), store.open()
    settings = config.applied_to(load(opened, line))
    snapshot = artifacts.current(opened, line, "snapshots")
    if snapshot is None:
        raise NotFound(f"line {line} has no snapshot: materialise `snapshot` first")
    out = train(opened, line, snapshot.name, settings, logged(context.log))
    artifacts.make_current(opened, line, out.kind, out.name)
    pictures = {
        name.removesuffix(".png"): dg.MetadataValue.md(picture(tables.read_verified(opened, file)))
        for name, file in out.files.items()
        if name.endswith(".png") and (settings.pictures_in_ui or name == "curves.png")
    }
    return dg.MaterializeResult(
        data_version=dg.DataVersion(out.name),
        metadata={"name": out.name, "snapshot": snapshot.name, **out.summary, **pictures},
    )
