"""Pictures of an evaluation, each a PNG of at most 100 KB for Dagster's event log."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from PIL import Image
from scipy.special import logit

from inspection.decision import Thresholds
from vision_assets.evaluation.figures import Calibration, Confusion, Evaluation
from vision_assets.evaluation.intervals import Floats

MOST_BYTES = 100_000

_GOOD, _DEFECT, _GREY = "#2b7bba", "#d1493f", "#888888"
# An octree keeps few greys apart but every outline, and half the bytes of a median cut.
_SIZES = (
    (110, Image.Quantize.MEDIANCUT),
    (110, Image.Quantize.FASTOCTREE),
    (80, Image.Quantize.FASTOCTREE),
    (50, Image.Quantize.FASTOCTREE),
)
_HISTOGRAM_BINS = 40
_SHORT = 8


def draw(figures: Evaluation, predictions: pl.DataFrame) -> dict[str, bytes]:
    """The diagrams of an evaluation as PNG by file name.

    Args:
        figures: What was measured.
        predictions: Columns ``role``, ``label`` and ``p``.
    """
    test = predictions.filter(pl.col("role") == "test")
    return {
        "confusion.png": _confusion(figures.confusion),
        "scores.png": _scores(test, figures.thresholds, figures.band_closed.cut),
        "reliability.png": _reliability(figures.calibration),
    }


def to_png(figure: Figure) -> bytes:
    """The figure as PNG of at most 100 KB: fewer colours first, then fewer pixels."""
    for dpi, method in _SIZES:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="raw", dpi=dpi)
        width, height = (int(side * dpi) for side in figure.get_size_inches())
        pixels = Image.frombuffer("RGBA", (width, height), buffer.getvalue())
        buffer = io.BytesIO()
        few = pixels.convert("RGB").quantize(256, method, dither=Image.Dither.NONE)
        few.save(buffer, format="PNG")
        if buffer.tell() <= MOST_BYTES:
            break
    return buffer.getvalue()


def _confusion(found: Confusion) -> bytes:
    """Counts as text, each row coloured by its own shares."""
    counts = np.array(found.counts, np.float64)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    width, height = 2.2 + 0.8 * len(found.columns), 1.4 + 0.5 * len(found.rows)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(found.columns)), found.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(found.rows)), found.rows)
    axes.set_xlabel("taken for (good: passed; REVIEW: a person decides)")
    axes.set_ylabel("is")
    axes.set_title("test frames")
    return to_png(figure)


def _scores(test: pl.DataFrame, thresholds: Thresholds, cut: float) -> bytes:
    """Calibrated scores on a log-odds axis, where the thresholds of a rare event can be seen."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    odds = _log_odds(test["p"].to_numpy())
    edges = np.linspace(odds.min() - 0.5, odds.max() + 0.5, _HISTOGRAM_BINS)
    is_bad = (test["label"] == "defect").to_numpy()
    for name, of, colour in (("good", ~is_bad, _GOOD), ("defect", is_bad, _DEFECT)):
        axes.hist(odds[of], edges.tolist(), color=colour, alpha=0.6, label=f"{name} ({of.sum()})")
    low, high = _log_odds(np.array([thresholds.pass_below, thresholds.reject_from]))
    axes.axvspan(low, high, color=_GREY, alpha=0.25, label="REVIEW", lw=0)
    for at in (low, high):
        axes.axvline(at, color="black", lw=1)
    axes.axvline(_log_odds(np.array([cut]))[0], color="black", lw=1, ls=":", label="band closed")
    _odds_ticks(axes, edges[0], edges[-1])
    axes.set_yscale("symlog")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("calibrated score p")
    axes.set_ylabel("test frames")
    axes.legend(fontsize=8)
    return to_png(figure)


def _log_odds(p: Floats) -> Floats:
    return np.asarray(logit(np.clip(p, 1e-6, 1 - 1e-6)), np.float64)


def _odds_ticks(axes: Axes, low: float, high: float) -> None:
    """Ticks at round probabilities, more of them on a short axis."""
    shown = np.array([0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999])
    if high - low < _SHORT:
        shown = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99])
    axes.set_xticks(_log_odds(shown), [f"{p:g}" for p in shown], fontsize=8)
    axes.set_xlim(low, high)


def _reliability(found: Calibration) -> bytes:
    """Defective share over mean p, with exact intervals and the number of frames in each bin."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1)
    x = np.array([part.mean_p for part in found.bins])
    share = np.array([part.defective.rate or 0.0 for part in found.bins])
    low = np.array([part.defective.low for part in found.bins])
    high = np.array([part.defective.high for part in found.bins])
    axes.errorbar(x, share, [share - low, high - share], fmt="o", color=_DEFECT, capsize=3)
    for part in found.bins:
        # Towards the middle, or the numbers of the outer bins would be cut off at the edge.
        is_left, is_low = part.mean_p < 0.5, (part.defective.rate or 0.0) < 0.5
        axes.annotate(
            str(part.frames),
            (part.mean_p, part.defective.rate or 0.0),
            (6 if is_left else -6, 4 if is_low else -4),
            textcoords="offset points",
            ha="left" if is_left else "right",
            va="bottom" if is_low else "top",
            fontsize=7,
        )
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("mean calibrated score p")
    axes.set_ylabel("defective share")
    axes.set_title(f"ECE {found.ece:.3f}, Brier {found.brier:.3f}", fontsize=10)
    return to_png(figure)
