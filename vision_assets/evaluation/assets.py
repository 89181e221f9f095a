"""The asset `evaluation`: how good a model is on frames it has never seen."""

import dagster as dg

from inspection.evidence import Gate
from resources.store import StoreResource
from store import artifacts, tables
from store.errors import NotFound
from store.keys import LineKey
from vision_assets import config
from vision_assets.partitions import check, lines
from vision_assets.reporting import logged, picture, table


@dg.asset(
    deps=["model"],
    partitions_def=lines,
    group_name="model",
    kinds={"scikitlearn"},
    owners=["team:quality"],
    code_version="1",
    pool="training",
    check_specs=[
        check(
            "evaluation",
            "within_limits",
            lines,
            "Escapes, overkill and review of the test parts keep the line's limits.",
            blocking=True,
        ),
        check(
            "evaluation",
            "not_worse_than_released",
            lines,
            "On common test parts it costs no more than the live and the best release.",
            blocking=True,
        ),
    ],
)
def evaluation(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Predictions on the roles `calibrate` and `test`, the decision rule, every figure, pictures.

    Thresholds come from `calibrate` alone; rates are of parts of `test`, with exact intervals.
    """
    # scipy, scikit-learn and matplotlib would take seconds off every load of the definitions.
    from vision_assets.evaluation import evaluate as steps
    from vision_assets.evaluation.certificate import against_limits
    from vision_assets.evaluation.releases import not_worse

    line, opened = LineKey.parse(context.partition_key), store.open()
    model = artifacts.current(opened, line, "models")
    if model is None:
        raise NotFound(f"line {line} has no model: materialise `model` first")
    out = steps.evaluate(opened, line, model.name, logged(context.log))
    artifacts.make_current(opened, line, out.kind, out.name)
    settings = config.load(opened, line)
    figures = steps.read(opened, line, out.name)
    pictures = {
        _title(name): dg.MetadataValue.md(picture(tables.read_verified(opened, file)))
        for name, file in out.files.items()
        if name.endswith(".png") and (settings.pictures_in_ui or not name.startswith("worst"))
    }
    return dg.MaterializeResult(
        data_version=dg.DataVersion(out.name),
        metadata={
            "name": out.name,
            "model": model.name,
            "figures": dg.MetadataValue.md(table(figures.headline())),
            "auroc": figures.auroc.value if figures.auroc else 0.0,
            "escape_rate": figures.escapes.rate or 0.0,
            "overkill_rate": figures.overkill.rate or 0.0,
            "warnings": "\n".join(figures.warnings) or "none",
            **pictures,
        },
        check_results=[
            _check("within_limits", against_limits(figures, settings.limits)),
            _check("not_worse_than_released", not_worse(opened, line, out.name)),
        ],
    )


def _title(file: str) -> str:
    """What a picture is called in the UI: what it shows, not what it warns of."""
    name = file.removesuffix(".png")
    return {
        "worst_escapes": "lowest scores among defective parts",
        "worst_overkills": "highest scores among good parts",
    }.get(name, name)


def _check(name: str, gates: list[Gate]) -> dg.AssetCheckResult:
    said = [f"{gate.name}: {gate.message}" for gate in gates]
    failed = [text for text, gate in zip(said, gates, strict=True) if not gate.passed]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not failed,
        description="\n".join(failed or said) or "nothing to compare with: no release yet",
    )
