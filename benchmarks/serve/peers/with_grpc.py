# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202 - its libraries are not installed here
"""The least that a gRPC server in Python needs: our messages, two kinds of server.

``python with_grpc.py PORT GRAPH sync|aio``.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import grpc.aio
import uvloop
import work

sys.path.append(str(Path(__file__).parents[3] / "serve" / "protocol"))
import inspection_v1_pb2 as pb

METHOD = "/inspection.v1.Inspection/Inspect"


def judge(session, frame):
    data = frame.encoded or frame.raw.data
    score, classes = work.judge(session, data)
    result = pb.Result(verdict=pb.PASS if score < 0.3 else pb.REJECT, score=score)
    result.class_scores.extend(
        pb.ClassScore(name=str(number), score=value) for number, value in enumerate(classes)
    )
    return pb.Answer(frame_id=frame.frame_id, result=result)


def handlers(method):
    rpc = grpc.unary_unary_rpc_method_handler(
        method, pb.Frame.FromString, pb.Answer.SerializeToString
    )
    return grpc.method_handlers_generic_handler("inspection.v1.Inspection", {"Inspect": rpc})


def serve_sync(port, session):
    """Three threads on two cores did best of two, three and four."""
    server = grpc.server(ThreadPoolExecutor(work.CORES + 1))
    server.add_generic_rpc_handlers((handlers(lambda frame, _: judge(session, frame)),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


async def serve_aio(port, session):
    pool = ThreadPoolExecutor(work.CORES)
    loop = asyncio.get_running_loop()

    async def inspect(frame, _):
        return await loop.run_in_executor(pool, judge, session, frame)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(inspect),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    found = work.open_session(sys.argv[2])
    if sys.argv[3] == "sync":
        serve_sync(sys.argv[1], found)
    else:
        uvloop.run(serve_aio(sys.argv[1], found))
