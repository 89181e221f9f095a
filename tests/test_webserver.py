"""The line as it is run from Dagster's web UI: the calls that its pages make, over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from store import artifacts, batches
from store.keys import BatchKey
from tests.plant import LINE, Plant
from vision_assets import config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BATCHES = ("one", "two", "three")
KINDS = ("snapshots", "models", "evaluations", "bundles")
LOCATION = {"repositoryLocationName": "vision_assets.definitions"}
REPOSITORY = {**LOCATION, "repositoryName": "__repository__"}

BACKFILL = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params)
  { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
ADD = """mutation($key: String!, $set: String!, $repository: RepositorySelector!) {
  addDynamicPartition(partitionKey: $key, partitionsDefName: $set, repositorySelector: $repository)
  { __typename } }"""
STOP_SENSOR = """mutation($id: String!) { stopSensor(id: $id) { __typename } }"""
SENSOR = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector)
  { ... on Sensor { id } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status jobName } } } }"


class Webserver:
    """``make ui`` on a free port, asked as its pages ask it."""

    def __init__(self, plant: Plant) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}/graphql"
        root, programs = Path(__file__).parent.parent, Path(sys.executable).parent
        path = f"{programs}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["bash", str(root / "deploy" / "ui.sh")],
            env={**plant.environment, "PATH": path, "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(self._answers)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return bool(self.ask("{ version }"))
        except requests.ConnectionError:
            return False

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 - JSON
        """The data of an answer without errors."""
        body: dict[str, Any] = {"query": query, "variables": variables}
        answer = requests.post(self._url, json=body, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def statuses(self, job: str) -> list[str]:
        """Of all runs of a job; a backfill of assets runs under a job without a name."""
        runs = self.ask(RUNS)["runsOrError"]["results"]
        return [run["status"] for run in runs if run["jobName"] == job]

    def stop(self) -> None:
        """As Ctrl-C does; what is left then is killed."""
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            for process in psutil.wait_procs(children, timeout=30)[1]:
                process.kill()


def until(is_so: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.fixture(scope="module")
def from_command_line(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A line that ``vision-assets run`` has made."""
    plant = Plant(tmp_path_factory.mktemp("cli"))
    for batch in BATCHES:
        settings = plant.deliver(batch)
    plant.run("--config", str(settings))
    return plant


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A plant to which nothing was delivered."""
    return Plant(tmp_path)


@pytest.fixture
def webserver(plant: Plant) -> Iterator[Webserver]:
    server = Webserver(plant)
    yield server
    server.stop()


def deliver(plant: Plant, like: Plant) -> None:
    """The deliveries and the settings of another plant."""
    for batch in BATCHES:
        plant.deliver(batch)
    config.save(plant.store, LINE, config.load(like.store, LINE))


def names(plant: Plant) -> dict[str, str | None]:
    """The line's current artifacts."""
    found = {kind: artifacts.current(plant.store, LINE, kind) for kind in KINDS}
    return {kind: each.name if each else None for kind, each in found.items()}


def ingested(plant: Plant) -> set[str]:
    return {key.batch for key in batches.ingested(plant.store, LINE)}


def test_a_backfill_and_the_job_line_give_what_the_command_gives(
    from_command_line: Plant, plant: Plant, webserver: Webserver
) -> None:
    keys = [str(BatchKey(LINE.site, LINE.line, batch)) for batch in BATCHES]
    selector = {**REPOSITORY, "sensorName": "landing"}
    sensor = webserver.ask(SENSOR, selector=selector)["sensorOrError"]
    webserver.ask(STOP_SENSOR, id=sensor["id"])
    deliver(plant, from_command_line)
    for key in keys:
        webserver.ask(ADD, key=key, set="batches", repository=REPOSITORY)
    webserver.ask(ADD, key=str(LINE), set="lines", repository=REPOSITORY)
    paths = [{"path": ["frames"]}, {"path": ["labels"]}]
    params = {"assetSelection": paths, "partitionNames": keys}
    started = webserver.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert started["__typename"] == "LaunchBackfillSuccess", started
    until(lambda: ingested(plant) == set(BATCHES))
    run = {
        "selector": {**REPOSITORY, "pipelineName": "line"},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(LINE)}]},
    }
    until(lambda: set(webserver.statuses("__ASSET_JOB")) == {"SUCCESS"})
    launched = webserver.ask(LAUNCH, params=run)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    until(lambda: webserver.statuses("line") in (["SUCCESS"], ["FAILURE"]))
    assert webserver.statuses("line") == ["SUCCESS"]
    assert names(plant) == names(from_command_line)


def test_the_sensor_ingests_what_was_delivered(plant: Plant, webserver: Webserver) -> None:
    for batch in BATCHES:
        plant.deliver(batch)
    until(lambda: ingested(plant) == set(BATCHES))
    until(lambda: webserver.statuses("batch") == ["SUCCESS"] * len(BATCHES))
