"""Everything a line is missing, in order: its new batches, then the line, then its release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from inspection.evidence import Gate
from jobs.launch import (
    Listener,
    Outcome,
    Request,
    bury_dead_runs,
    open_instance,
    run_job,
)
from sensors.landing import waiting
from store import artifacts, batches, ledger
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.figures import Evaluation
from vision_assets.export.attached import gates_of
from vision_assets.partitions import register

_KINDS = ("snapshots", "models", "evaluations", "bundles")


@dataclass
class LineResult:
    """What a line has after a run.

    Attributes:
        line: Whose.
        names: The line's current artifact by kind.
        figures: The current evaluation's figures.
        gates: Gates of the current bundle.
        release: Name of the live release, such as ``turin/press-3@17``; empty without one.
        live_bundle: What that release serves.
        runs: Ids of the Dagster runs, in order.
        faults: What stopped a run.
        warnings: Checks that failed without stopping one.
    """

    line: LineKey
    names: dict[str, str] = field(default_factory=dict)
    figures: Evaluation | None = None
    gates: list[Gate] = field(default_factory=list)
    release: str = ""
    live_bundle: str = ""
    runs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        gates = [gate.model_dump(mode="json") for gate in self.gates]
        figures = self.figures.model_dump(mode="json") if self.figures else None
        return {**self.__dict__, "line": str(self.line), "figures": figures, "gates": gates}

    def took(self, outcome: Outcome) -> bool:
        """Keep a run's outcome and say whether to go on."""
        self.runs.append(outcome.run_id)
        self.faults += outcome.faults
        self.warnings += outcome.warnings
        return outcome.is_success and not outcome.faults


@dataclass(frozen=True)
class Release:
    """What is to be done with the bundle that a run makes.

    Attributes:
        who: Who runs.
        promote: Make it live when its gates pass.
        force: The reason to make it live although they do not; empty: do not.
    """

    who: str
    promote: bool = False
    force: str = ""


def run_line(store: Store, line: LineKey, release: Release, listen: Listener) -> LineResult:
    """Ingest the line's new deliveries, materialise the line and promote when asked to.

    Raises:
        NotFound: when the line has neither a batch nor a complete delivery.
    """
    result = LineResult(line)
    new = [key for key, _ in waiting(store) if key.line_key == line]
    known = batches.ingested(store, line)
    if not new and not known:
        raise NotFound(
            f"line {line} has no batch: deliver one with `vision-assets simulate` or "
            "`vision-assets import`"
        )
    with open_instance() as instance:
        bury_dead_runs(instance)
        register(instance, {*new, *known})
        launch = _Launcher(instance, listen, result)
        outcomes = [launch("batch", str(key)) for key in new]
        if all(outcomes):
            _line_and_release(launch, line, release)
    return described(store, result)


def described(store: Store, result: LineResult) -> LineResult:
    """The result with what the store says of its line now."""
    line = result.line
    for kind in _KINDS:
        found = artifacts.current(store, line, kind)
        if found is not None:
            result.names[kind] = found.name
    if "evaluations" in result.names:
        result.figures = evaluate.read(store, line, result.names["evaluations"])
    if "bundles" in result.names:
        result.gates = gates_of(store, line, result.names["bundles"])
    live = ledger.live(ledger.entries(store, line))
    if live is not None:
        result.release, result.live_bundle = live.release_of(line), live.bundle
    return result


class _Launcher:
    """Runs jobs of the code location one after another and keeps their outcomes."""

    def __init__(self, instance: dg.DagsterInstance, listen: Listener, result: LineResult) -> None:
        from vision_assets.definitions import defs  # heavy, and imports this package's jobs

        self._defs, self._instance, self._listen = defs, instance, listen
        self.result = result

    def __call__(
        self,
        job: str,
        key: str,
        only: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> bool:
        """Run a job for a partition and say whether to go on."""
        resolved = self._defs.resolve_job_def(job)
        request = Request(key, only, config or {})
        outcome = run_job(self._instance, resolved, request, self._listen)
        return self.result.took(outcome)


def _line_and_release(launch: _Launcher, line: LineKey, release: Release) -> None:
    is_good = launch("line", str(line))
    if not is_good and release.force and _stopped_by_a_check(launch.result):
        # A blocking check keeps the bundle from being made in the same run; who forces a promotion
        # has seen it, so the bundle is made in a run of its own.
        is_good = launch("line", str(line), only=["bundle"])
    if is_good and (release.promote or release.force):
        config = {"who": release.who, "why": release.force, "force": bool(release.force)}
        launch("deploy", str(line), config={"ops": {"release": {"config": config}}})


def _stopped_by_a_check(result: LineResult) -> bool:
    return any(fault.startswith("evaluation: ") for fault in result.faults)
