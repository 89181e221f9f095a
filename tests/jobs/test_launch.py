"""Runs of the command line: recorded, told of, and buried when their process was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from jobs.launch import Request, bury_dead_runs, open_instance, run_job
from store.errors import Refused
from store.keys import BatchKey
from vision_assets.partitions import lines, register

SLEEPER = """
import time
import dagster as dg
from jobs.launch import Request, open_instance, run_job

@dg.asset(pool="training")
def slow() -> None:
    print("asleep", flush=True)
    time.sleep(60)

job = dg.Definitions(
    assets=[slow], jobs=[dg.define_asset_job("slow_job", executor_def=dg.in_process_executor)]
).resolve_job_def("slow_job")
with open_instance() as instance:
    outcome = run_job(instance, job, Request(None), lambda step, text: None)
    print("ended", outcome.is_success, flush=True)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance() as opened:
        register(opened, [BatchKey("a", "b", "c")])
        yield opened


def job_of(*assets: dg.AssetsDefinition) -> dg.JobDefinition:
    made = dg.define_asset_job("probe", executor_def=dg.in_process_executor)
    return dg.Definitions(assets=list(assets), jobs=[made]).resolve_job_def("probe")


@dg.asset(partitions_def=lines)
def talker(context: dg.AssetExecutionContext) -> None:
    context.log.info("half way")


@dg.asset(partitions_def=lines)
def refuser() -> None:
    raise Refused("the gate says no: do this instead")


@dg.asset(
    partitions_def=lines,
    check_specs=[
        dg.AssetCheckSpec("hard", asset="checked", blocking=True),
        dg.AssetCheckSpec("soft", asset="checked"),
    ],
)
def checked() -> dg.MaterializeResult:  # type: ignore[type-arg]
    warn = dg.AssetCheckSeverity.WARN
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(check_name="hard", passed=False, description="mend this"),
            dg.AssetCheckResult(check_name="soft", passed=False, severity=warn, description="hm"),
        ]
    )


def test_a_run_is_recorded_and_its_log_lines_are_told(instance: dg.DagsterInstance) -> None:
    told: list[tuple[str, str]] = []
    outcome = run_job(instance, job_of(talker), Request("a/b"), lambda *line: told.append(line))
    assert outcome.is_success
    assert ("talker", "half way") in told
    run = instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.job_name == "probe"
    assert run.tags["dagster/partition"] == "a/b"


def test_our_errors_are_told_without_a_stack(instance: dg.DagsterInstance) -> None:
    outcome = run_job(instance, job_of(refuser), Request("a/b"), lambda *_: None)
    assert outcome.faults == ("refuser: the gate says no: do this instead",)
    assert not outcome.is_success


def test_failed_checks_are_faults_or_warnings(instance: dg.DagsterInstance) -> None:
    outcome = run_job(instance, job_of(checked), Request("a/b"), lambda *_: None)
    assert any(fault == "checked: hard: mend this" for fault in outcome.faults)
    assert outcome.warnings == ("checked: soft: hm",)


@contextmanager
def sleeper(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a run that holds a pool slot."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "DAGSTER_HOME": str(home)},
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "asleep\n"
            yield child
        finally:
            child.kill()


def test_a_killed_run_is_buried_and_its_pool_slot_freed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with sleeper(tmp_path / "home") as child:
        assert bury_dead_runs(instance) == [], "a run that lives is left alone"
        child.kill()
    storage = instance.event_log_storage
    assert storage.get_concurrency_info("training").claimed_slots
    (buried,) = bury_dead_runs(instance)
    run = instance.get_run_by_id(buried)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE
    assert not storage.get_concurrency_info("training").claimed_slots
    assert bury_dead_runs(instance) == []


def test_sigterm_ends_a_run_instead_of_leaving_it(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with sleeper(tmp_path / "home") as child:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=30)
    for _ in range(50):
        unfinished = instance.get_runs(dg.RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        if not unfinished:
            break
        time.sleep(0.1)
    assert not unfinished
