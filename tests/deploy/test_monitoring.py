"""Dashboard and alerts speak of metrics that the server has, in PromQL that Prometheus takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric

from serve.health import LineReadiness, Liveness, Readiness
from serve.line_state import LineState, LoadedRelease
from serve.metrics import Metrics
from serve.monitor import Monitor
from serve.shipping.cursor import Shipped
from tests.serve.rows import LINE, SPOOL, decision, error, observed

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "vision-serve.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "vision-lines.json"
PROMETHEUS_OWN = {"up"}
AGGREGATES = {"sum", "by", "on", "without"}
OPERATORS = {"and", "or", "unless", "offset"}
FUNCTIONS = {"abs", "avg_over_time", "changes", "deriv", "histogram_quantile", "increase", "rate"}
WORDS = AGGREGATES | OPERATORS | FUNCTIONS
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def exposed() -> dict[str, set[str]]:
    """The labels of every sample that a server with one of each kind of row shows, by name."""
    state = LineState(
        LINE,
        True,
        True,
        SPOOL,
        releases=(LoadedRelease("live", f"{LINE}@1", "b", "e", "g", "1"),),
        shipped=(Shipped("store", 1, 0, 0.0, 0, ""),),
    )
    metrics = Metrics(lambda: [state], lambda line: ())
    metrics.add(observed(decision(), error(), decision(score=None, reasons=[{"code": "late"}])))
    metrics.refuse("rate_limited")
    line = LineReadiness(LINE, "", "", "")
    monitor = Monitor(metrics, lambda: Liveness(0, 1), lambda: Readiness((line,), False))
    found: dict[str, set[str]] = {}
    collected: Iterator[Metric] = monitor.registry.collect()  # type: ignore[assignment]
    for metric in collected:
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> dict[str, str]:
    """Every PromQL expression of rules and dashboard by where it stands."""
    rules = yaml.safe_load(RULES.read_text())["groups"]
    found = {
        rule.get("alert") or rule["record"]: rule["expr"]
        for group in rules
        for rule in group["rules"]
    }
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['id']}{target['refId']} {panel['title']}"] = target["expr"]
    for note in board["annotations"]["list"]:
        found[f"annotation {note['name']}"] = note["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            name = f"variable {variable['name']}"
            query = variable["query"]["query"]
            found[name] = re.sub(r"label_values\((.*), (\w+)\)", r"sum by (\2) (\1)", query)
    return found


EXPRESSIONS = expressions()
EXPOSED = exposed()
RECORDED = {
    rule["record"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def names(expression: str) -> set[str]:
    """The metrics in an expression: words that are no function, no label and no text."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|without)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"offset \w+", "", bare)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - WORDS


def label_names(expression: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    selected = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
    return {*selected, *(name for group in grouped for name in re.findall(r"\w+", group))}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_expression_speaks_of_metrics_and_labels_that_exist(where: str) -> None:
    expression = EXPRESSIONS[where]
    found = names(expression)
    assert found, "an expression without a metric"
    assert found <= set(EXPOSED) | RECORDED | PROMETHEUS_OWN
    known = {"instance", "job"}.union(*(EXPOSED.get(name, {"line"}) for name in found))
    assert label_names(expression) <= known


def test_a_name_that_does_not_exist_is_found() -> None:
    assert names('sum by (line) (rate(vision_nothing_total{line="x"}[5m]))') - set(EXPOSED)
    assert label_names('x{verdct="PASS"}') == {"verdct"}


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    used = set().union(*map(names, EXPRESSIONS.values()))
    ours = {name for name in EXPOSED if name.startswith("vision_")}
    parts = ("_created", "_bucket", "_sum", "_count")
    assert {name for name in ours - used if not name.endswith(parts)} == set()


def test_panels_have_their_own_place_and_number() -> None:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not covered & cells, panel["title"]
        cells |= covered


def test_every_alert_is_tested() -> None:
    tests = (RULES.parent / "vision-serve.rules.test.yml").read_text()
    for name in EXPRESSIONS:
        if name.startswith("Vision"):
            assert f"alertname: {name}\n        exp_alerts:\n" in tests, name


@needs_promtool
def test_promtool_takes_every_expression(tmp_path: Path) -> None:
    """Variables of Grafana stand for something in their place."""
    rules = [
        {
            "record": f"x:{number}",
            "expr": expression.replace("$__rate_interval", "5m"),
        }
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "all.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "vision-serve.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "vision-serve.rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_the_files(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
