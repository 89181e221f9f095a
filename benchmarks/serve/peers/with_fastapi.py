# mypy: ignore-errors

"""FastAPI on uvicorn (uvloop, httptools): the body is the file; the work is done in threads.

``python with_fastapi.py PORT GRAPH PROCESSES``: as many processes, which share the cores.
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
import work
from fastapi import FastAPI, Request, Response

app = FastAPI()
pool = ThreadPoolExecutor(max(1, work.CORES // int(os.environ.get("PROCESSES", "1"))))
session = work.open_session(os.environ["GRAPH"]) if "GRAPH" in os.environ else None


@app.post("/inspect")
async def inspect(request: Request) -> Response:
    data = await request.body()
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(pool, work.answer, session, data)
    return Response(found, media_type="application/json")


if __name__ == "__main__":
    port, os.environ["GRAPH"], os.environ["PROCESSES"] = sys.argv[1:4]
    uvicorn.run(
        "with_fastapi:app",
        port=int(port),
        workers=int(sys.argv[3]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
