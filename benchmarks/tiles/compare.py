"""Sends every test frame of a line to its server and compares the verdicts with the evaluation's.

    python benchmarks/tiles/compare.py SITE/LINE HOST:PORT [--json FILE]

The store is ``VISION_STORE``. Frames are sent as files by `vision-serve inspect --json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from inspection.decision import Label, is_flip
from resources.store import store_url
from store import artifacts, batches, layout
from store.keys import BatchKey, LineKey
from store.root import Store
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.figures import Evaluation


def test_frames(store: Store, line: LineKey, name: str) -> pl.DataFrame:
    """The evaluation's test frames with the path of each frame's file in the landing area."""
    rows = evaluate.predictions(store, line, name).filter(pl.col("role") == "test")
    files = []
    for batch in rows["batch"].unique().sort():
        key = BatchKey(line.site, line.line, batch)
        manifest = batches.manifest(store, key)
        assert manifest is not None
        folder = str(store.local_path(f"{layout.landing(key)}/frames"))
        index = batches.index(store, manifest).select("frame_id", "file").collect()
        files.append(index.with_columns((pl.lit(f"{folder}/") + pl.col("file")).alias("path")))
    return rows.join(pl.concat(files), on="frame_id", how="inner", maintain_order="left")


def ask(address: str, paths: list[str]) -> dict[str, dict[str, object]]:
    """The server's answer by path, through the client as a user runs it."""
    command = [str(Path(sys.executable).with_name("vision-serve")), "inspect", "--target", address]
    done = subprocess.run([*command, *paths, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"vision-serve inspect failed: {done.stderr or done.stdout[-500:]}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {str(answer["file"]): answer for answer in answers}


def compare(rows: pl.DataFrame, answers: dict[str, dict[str, object]]) -> list[str]:
    """Every flip as a line."""
    found = []
    for row in rows.iter_rows(named=True):
        answer = answers[row["path"]]
        verdict = Label(str(answer["verdict"]))
        if is_flip(Label(row["verdict"]), verdict):
            found.append(f"{row['file']}: {row['verdict']} -> {verdict} at p {row['p']:.4f}")
    return found


def show(figures: Evaluation) -> None:
    """The figures as the command line shows them, and the parts that were passed."""
    tested = figures.counts["test"]
    print(
        f"test: {tested.frames} frames, {tested.groups} tiles, {tested.defective_parts} defective"
    )
    for name in ("auroc", "average_precision", "escapes", "overkill", "review"):
        print(f"  {name:<18} {getattr(figures, name)}")
    print(f"  band closed        escapes {figures.band_closed.escapes}")
    print(f"                     overkill {figures.band_closed.overkill}")
    for row in figures.per_class:
        print(
            f"  {row.name:<18} AUROC {row.auroc if row.auroc is None else round(row.auroc, 3)}, "
            f"escapes {row.escapes}"
        )


def worst(rows: pl.DataFrame, most: int = 8) -> None:
    """The defective frames with the lowest scores among those that were passed."""
    passed = rows.filter((pl.col("label") == "defect") & (pl.col("verdict") == "PASS")).sort("p")
    print(f"worst escapes by frame ({len(passed)} frames passed):")
    for row in passed.head(most).iter_rows(named=True):
        print(f"  {row['file']}  {', '.join(row['classes'])}  p {row['p']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("line")
    parser.add_argument("address")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    store, line = Store(store_url()), LineKey.parse(given.line)
    evaluation = artifacts.current(store, line, evaluate.KIND)
    if evaluation is None:
        sys.exit(f"line {line} has no evaluation")
    figures = evaluate.read(store, line, evaluation.name)
    rows = test_frames(store, line, evaluation.name)
    answers = ask(given.address, rows["path"].to_list())
    flips = compare(rows, answers)
    scores = [float(str(answers[path]["score"])) for path in rows["path"]]
    difference = float(np.max(np.abs(np.array(scores) - rows["p"].to_numpy())))
    latency = [float(str(answer["latency_ms"])) for answer in answers.values()]
    p50, p99 = statistics.median(latency), float(np.quantile(latency, 0.99))
    show(figures)
    worst(rows)
    print(
        f"server: {len(answers)} of {len(rows)} answered, {len(flips)} flips, largest difference "
        f"of p {difference:.2e}, latency p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    for flip in flips:
        print(f"  FLIP {flip}")
    if given.json:
        auroc = figures.auroc.value if figures.auroc else None
        given.json.write_text(json.dumps(_results(figures, auroc, len(flips), p50, p99), indent=1))
    sys.exit(bool(flips))


def _results(
    figures: Evaluation, auroc: float | None, flips: int, p50: float, p99: float
) -> list[dict[str, object]]:
    rows: list[tuple[str, float | None, str, float | None]] = [
        ("image AUROC", auroc, "", 0.93),
        ("escapes", figures.escapes.rate, "of defective tiles", None),
        ("overkill", figures.overkill.rate, "of good tiles", None),
        ("review share", figures.review.rate, "of tiles", 0.1),
        ("flips torch to server", flips, "frames", 0),
        ("latency p50", p50, "ms", None),
        ("latency p99", p99, "ms", None),
    ]
    at_least = {"image AUROC"}
    return [
        {
            "figure": name,
            "value": value,
            "unit": unit,
            "goal": goal,
            "ok": None
            if goal is None or value is None
            else (value >= goal if name in at_least else value <= goal),
        }
        for name, value, unit, goal in rows
    ]


if __name__ == "__main__":
    main()
