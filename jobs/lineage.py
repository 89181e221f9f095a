"""Everything a line is missing, in order: its new batches, then the line, then its release."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from inspection.bundle import KIND as BUNDLES
from inspection.evidence import Gate
from jobs.launch import (
    FailedCheck,
    Listener,
    Outcome,
    Request,
    bury_dead_runs,
    open_instance,
    run_job,
)
from sensors.landing import unreadable, waiting
from store import artifacts, batches, ledger, tables
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.releases import PROVENANCE
from vision_assets.export.attached import gates_of
from vision_assets.partitions import register

_KINDS = ("snapshots", "models", "evaluations", "bundles")


@dataclass
class LineResult:
    """What a line has after a run.

    Attributes:
        line: Whose.
        names: The line's current artifact by kind; ``bundles`` only when it was made from the
            evaluation that is shown.
        figures: The current evaluation's figures.
        gates: Gates of that bundle.
        release: Name of the live release, such as ``turin/press-3@17``; empty without one.
        live_bundle: What that release serves.
        was_live: Name of the release that was live before the run; empty without one.
        runs: Ids of the Dagster runs, in order.
        failed_checks: Checks that stopped a run.
        errors: What stopped a run otherwise.
        warnings: Checks that failed without stopping one, or that `Release.force` overrode.
    """

    line: LineKey
    names: dict[str, str] = field(default_factory=dict)
    figures: Evaluation | None = None
    gates: list[Gate] = field(default_factory=list)
    release: str = ""
    live_bundle: str = ""
    was_live: str = ""
    runs: list[str] = field(default_factory=list)
    failed_checks: list[FailedCheck] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[FailedCheck] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that stopped a run, in words."""
        return [*map(str, self.failed_checks), *self.errors]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        kept = ("names", "release", "live_bundle", "was_live", "runs", "faults")
        return {
            "line": str(self.line),
            **{name: getattr(self, name) for name in kept},
            "figures": self.figures.model_dump(mode="json") if self.figures else None,
            "gates": [gate.model_dump(mode="json") for gate in self.gates],
            "warnings": list(map(str, self.warnings)),
        }

    def took(self, outcome: Outcome) -> None:
        """Keep a run's outcome."""
        self.runs.append(outcome.run_id)
        self.failed_checks += outcome.failed_checks
        self.errors += outcome.errors
        self.warnings += outcome.warnings

    def override(self) -> None:
        """Let what failed checks stopped go on: they become warnings."""
        self.warnings += self.failed_checks
        self.failed_checks.clear()


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

    A delivery whose mark cannot be read is a fault of the result; the others are worked on.

    Raises:
        NotFound: when the line has neither a batch nor a complete delivery.
        Stopped: when SIGINT or SIGTERM came.
    """
    result = LineResult(line, was_live=_live(store, line)[0], errors=unreadable(store, line))
    new = [key for key, _ in waiting(store) if key.line_key == line]
    known = batches.ingested(store, line)
    if new or known:
        with open_instance() as instance:
            bury_dead_runs(instance)
            register(instance, {*new, *known})
            launch = _Launcher(instance, listen, result)
            outcomes = [launch("batch", str(key)) for key in new]
            if all(outcome.is_success for outcome in outcomes):
                _line_and_release(launch, line, release)
    elif not result.errors:
        raise NotFound(
            f"line {line} has no batch: deliver one with `vision-assets simulate` or "
            "`vision-assets import`"
        )
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
    bundle = result.names.pop("bundles", "")
    if bundle and _evaluation_of(store, line, bundle) == result.names.get("evaluations"):
        result.names["bundles"] = bundle
        result.gates = gates_of(store, line, bundle)
    result.release, result.live_bundle = _live(store, line)
    return result


def _evaluation_of(store: Store, line: LineKey, bundle: str) -> str:
    """The evaluation that a bundle's gates are about; empty without evidence.

    Equal models and rules give the same bundle, so its inputs do not tell: other limits make
    another evaluation, and other gates, of the same bundle.
    """
    attached = artifacts.attachments(store, line, BUNDLES, bundle)
    if PROVENANCE not in attached:
        return ""
    return str(json.loads(tables.read_verified(store, attached[PROVENANCE]))["evaluation"])


def _live(store: Store, line: LineKey) -> tuple[str, str]:
    """Name and bundle of the live release; empty without one."""
    live = ledger.live(ledger.entries(store, line))
    return (live.release_of(line), live.bundle) if live else ("", "")


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
    ) -> Outcome:
        """Run a job for a partition and keep how it ended."""
        resolved = self._defs.resolve_job_def(job)
        request = Request(key, only, config or {})
        outcome = run_job(self._instance, resolved, request, self._listen)
        self.result.took(outcome)
        return outcome


def _line_and_release(launch: _Launcher, line: LineKey, release: Release) -> None:
    """Materialise the line; promote its bundle when asked to, whatever check failed when forced.

    A blocking check of the evaluation keeps the bundle from being made in the same run; who forces
    a promotion has seen it, so the bundle is made in a run of its own.
    """
    outcome = launch("line", str(line))
    if release.force and outcome.stopped_after == "evaluation":
        launch.result.override()
        outcome = launch("line", str(line), only=["bundle"])
    if release.force and outcome.stopped_after == "bundle":
        launch.result.override()
    elif not outcome.is_success:
        return
    if release.promote or release.force:
        config = {"who": release.who, "why": release.force, "force": bool(release.force)}
        launch("deploy", str(line), config={"ops": {"release": {"config": config}}})
