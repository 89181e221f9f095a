# mypy: ignore-errors
# ruff: noqa: D101, D102 - its libraries are not installed here
"""Ray Serve: two replicas behind its HTTP proxy."""

import asyncio
import os
import sys
import time
from pathlib import Path

import ray
import work
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    num_replicas=work.CORES, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=8
)
class Inspection:
    def __init__(self, graph: str) -> None:
        self.session = work.open_session(graph)

    async def __call__(self, request: Request) -> Response:
        data = await request.body()
        loop = asyncio.get_running_loop()  # a blocked one would not answer the router's probes
        found = await loop.run_in_executor(None, work.answer, self.session, data)
        return Response(found, media_type="application/json")


if __name__ == "__main__":
    here = str(Path(__file__).parent)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - by default its workers give way to everybody
    ray.init(
        num_cpus=work.CORES,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": here}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Inspection.bind(sys.argv[2]), route_prefix="/inspect")
    while True:
        time.sleep(60)
