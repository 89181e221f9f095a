"""What the metrics say of rows, that promtool accepts them, and that clients make no series."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from inspection.statistics import COLUMNS
from serve.keeping import KeptState
from serve.line_state import LineState, LoadedRelease
from serve.metrics import (
    MOST_CAMERAS,
    MOST_RELEASES,
    OTHER,
    STAGES,
    STATISTIC_EDGES,
    Metrics,
)
from serve.shadow import ShadowState
from serve.shipping.cursor import Shipped
from tests.serve.rows import LINE, SPOOL, decision, error, observed

STATE = LineState(
    line=LINE,
    is_ready=True,
    is_newest=False,
    spool=SPOOL,
    number=1,
    releases=(LoadedRelease("live", f"{LINE}@1", "b" * 64, "onnxruntime", "graph.onnx", "1.31.1"),),
    shipped=(Shipped("store", 5, unshipped=3, oldest_s=1.5, lost=0, fault=""),),
    shadow=ShadowState(answered=9, differing=2),
    kept=KeptState(frames=5, dropped=3),
    waiting={"top": (3, 0.5), "stranger": (1, 2.0), "stranger-2": (1, 1.0)},
)


CAMERAS = frozenset({"top", "left"})


def filled(*rows: dict[str, object], cameras: frozenset[str] = CAMERAS) -> CollectorRegistry:
    metrics = Metrics(lambda: [STATE], lambda line: cameras)
    metrics.add(observed(*rows))
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {"line": LINE} | labels)


def test_frames_are_counted_by_camera_verdict_and_release() -> None:
    rejected = decision("left", verdict="REJECT")
    registry = filled(decision(), decision(), rejected, error(), error("sixteen_bit"))
    count = {"verdict": "PASS", "release": f"{LINE}@1"}
    assert value(registry, "vision_frames_total", camera="top", **count) == 2
    count["verdict"] = "REJECT"
    assert value(registry, "vision_frames_total", camera="left", **count) == 1
    assert value(registry, "vision_frame_errors_total", code="truncated") == 1
    assert value(registry, "vision_frame_errors_total", code="sixteen_bit") == 1


def test_frame_that_nobody_looked_at_is_counted_with_its_reason() -> None:
    late = decision(score=None, verdict="REVIEW", reasons=[{"code": "late"}])
    registry = filled(late)
    assert value(registry, "vision_unjudged_frames_total", camera="top", why="late") == 1
    assert (
        value(
            registry,
            "vision_frames_total",
            camera="top",
            verdict="REVIEW",
            release=f"{LINE}@1",
        )
        == 1
    )


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [("wait", 0.001), ("decode", 0.0025), ("engine", 0.004), ("spool", 0.00025), ("total", 0.008)],
)
def test_each_stage_has_its_time(stage: str, seconds: float) -> None:
    registry = filled(decision(), decision())
    assert value(registry, "vision_stage_seconds_count", stage=stage) == 2
    total = value(registry, "vision_stage_seconds_sum", stage=stage)
    assert total == pytest.approx(2 * seconds)


def test_value_on_an_edge_belongs_to_the_bucket_below() -> None:
    registry = filled(decision(wait_ms=1.0), decision(wait_ms=1.001))
    buckets = {
        edge: value(registry, "vision_stage_seconds_bucket", stage="wait", le=edge)
        for edge in ("0.0005", "0.001", "0.002", "+Inf")
    }
    assert buckets == {"0.0005": 0, "0.001": 1, "0.002": 2, "+Inf": 2}


def test_every_statistic_of_the_rows_has_edges_and_a_histogram() -> None:
    assert {"score", *COLUMNS} == set(STATISTIC_EDGES)
    registry = filled(decision())
    for name in STATISTIC_EDGES:
        counted = value(registry, "vision_frame_statistic_count", camera="top", statistic=name)
        assert counted == 1, name
    for edges in STATISTIC_EDGES.values():
        assert list(edges) == sorted(set(edges))


def test_statistic_that_is_no_number_is_left_out() -> None:
    registry = filled(decision(statistics={"noise": None, "brightness": 3.0}))
    assert value(registry, "vision_frame_statistic_count", camera="top", statistic="noise") is None


def test_queue_release_and_spool_are_those_of_the_moment() -> None:
    registry = filled(decision())
    assert value(registry, "vision_queue_frames", camera="top") == 3
    assert value(registry, "vision_queue_frames", camera=OTHER) == 2
    assert value(registry, "vision_queue_oldest_seconds", camera=OTHER) == 2.0
    assert value(registry, "vision_line_ready") == 1
    assert value(registry, "vision_newest_release_live") == 0
    assert value(registry, "vision_spool_unsynced_rows") == 2
    assert value(registry, "vision_spool_rows") == 7
    assert value(registry, "vision_spool_dropped_rows_total") == 2
    assert value(registry, "vision_unshipped_rows", sink="store") == 3
    assert value(registry, "vision_shadow_differing_frames_total") == 2
    assert value(registry, "vision_kept_frames") == 5
    assert value(registry, "vision_kept_dropped_frames_total") == 3
    about = {
        "role": "live",
        "release": f"{LINE}@1",
        "bundle": "b" * 64,
        "engine": "onnxruntime",
        "graph": "graph.onnx",
        "engine_build": "1.31.1",
    }
    assert value(registry, "vision_release_info", **about) == 1


@given(st.lists(st.text(max_size=20), max_size=60))
def test_client_makes_no_series_by_inventing_cameras(cameras: list[str]) -> None:
    registry = filled(*(decision(camera) for camera in ["top", *cameras]))
    found = {
        sample.labels["camera"]
        for metric in registry.collect()
        for sample in metric.samples
        if "camera" in sample.labels
    }
    assert found <= {"top", "left", OTHER}


def test_number_of_named_cameras_has_a_bound() -> None:
    many = [f"camera-{n}" for n in range(3 * MOST_CAMERAS)]
    registry = filled(*(decision(name) for name in many), cameras=frozenset(many))
    text = generate_latest(registry).decode()
    assert sum(f'camera="camera-{n}"' in text for n in range(len(many))) == MOST_CAMERAS


def test_releases_of_long_ago_are_forgotten() -> None:
    rows = [decision(release=f"{LINE}@{n}") for n in range(1, 2 * MOST_RELEASES + 1)]
    registry = filled(*rows)
    found = {
        sample.labels["release"]
        for metric in registry.collect()
        if metric.name == "vision_frames"
        for sample in metric.samples
    }
    assert found == {f"{LINE}@{n}" for n in range(MOST_RELEASES + 1, 2 * MOST_RELEASES + 1)}


def test_refused_calls_are_counted_by_code() -> None:
    metrics = Metrics(list, lambda line: CAMERAS)
    metrics.refuse("rate_limited")
    metrics.refuse("rate_limited")
    registry = CollectorRegistry()
    registry.register(metrics)
    assert registry.get_sample_value("vision_refused_calls_total", {"code": "rate_limited"}) == 2


def test_no_label_holds_a_serial_or_a_frame() -> None:
    text = generate_latest(filled(decision(), error())).decode()
    assert "SECRET-SERIAL" not in text
    assert "frame-1" not in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_output() -> None:
    text = generate_latest(filled(decision(), error()))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()


def test_stages_are_those_that_rows_hold() -> None:
    assert {f"{stage}_ms" for stage in STAGES} <= set(decision())
