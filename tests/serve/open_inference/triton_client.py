"""Run by a test as a process of its own: NVIDIA's client, as it is, against a server of ours.

In one process the two definitions of the protocol would exclude each other.

``python triton_client.py ADDRESS FOLDER`` prints one JSON object.
"""

from __future__ import annotations

import json
import queue
import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # pytest looks into every module of the tests
    import tritonclient.grpc as triton

MODEL = "turin/press-3"


def bytes_input(name: str, data: bytes) -> triton.InferInput:
    tensor = triton.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], np.object_))
    return tensor


def pixels_input(pixels: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    return tensor


def texts(result: triton.InferResult, name: str) -> list[str]:
    return [value.decode() for value in result.as_numpy(name)]


def answer(result: triton.InferResult) -> dict[str, Any]:
    names = ("verdict", "release", "bundle", "engine", "frame_id", "decision", "classes")
    return {
        **{name: texts(result, name) for name in names},
        "score": result.as_numpy("score").tolist(),
        "class_scores": result.as_numpy("class_scores").tolist(),
        "reasons": json.loads(texts(result, "reasons")[0]),
        "version": result.get_response().model_version,
        "id": result.get_response().id,
    }


def failing(client: triton.InferenceServerClient, *arguments: object, **rest: object) -> list[str]:
    try:
        client.infer(*arguments, **rest)
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    return []


def streamed(client: triton.InferenceServerClient, frames: list[bytes]) -> list[str]:
    """The verdict, or the error, of each frame sent through one stream."""
    done: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: done.put((result, error)))
    for index, data in enumerate(frames):
        client.async_stream_infer(MODEL, [bytes_input("frame", data)], request_id=f"s-{index}")
    found = [done.get(timeout=60) for _ in frames]
    client.stop_stream()
    return [str(error) if error else texts(result, "verdict")[0] for result, error in found]


def asked_at_once(client: triton.InferenceServerClient, frames: list[bytes]) -> list[str]:
    done: queue.Queue[Any] = queue.Queue()
    for data in frames:
        client.async_infer(
            MODEL, [bytes_input("frame", data)], lambda result, error: done.put((result, error))
        )
    return sorted(texts(done.get(timeout=60)[0], "verdict")[0] for _ in frames)


def definition() -> str:
    """The client's own definition of the protocol, for comparison with ours."""
    from google.protobuf import descriptor_pb2
    from tritonclient.grpc import service_pb2

    found = descriptor_pb2.FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(found)
    return found.SerializeToString().hex()


def main() -> None:
    address, folder = sys.argv[1], Path(sys.argv[2])
    frames = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    pixels = np.load(folder / "pixels.npy")
    with triton.InferenceServerClient(address) as client:
        about = [bytes_input("camera", b"left"), bytes_input("serial", b"p-7")]
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [
                client.is_model_ready(MODEL),
                client.is_model_ready(MODEL, "1"),
                client.is_model_ready(MODEL, "2"),
                client.is_model_ready("no/such"),
            ],
            "server": client.get_server_metadata(as_json=True),
            "model": client.get_model_metadata(MODEL, as_json=True),
            "answers": [
                answer(client.infer(MODEL, [bytes_input("frame", data), *about])) for data in frames
            ],
            "pixels": answer(client.infer(MODEL, [pixels_input(pixels)], "1", request_id="r-1")),
            "batch_of_one": answer(client.infer(MODEL, [pixels_input(pixels[None])])),
            "only": [
                tensor.name
                for tensor in client.infer(
                    MODEL,
                    [bytes_input("frame", frames[0])],
                    outputs=[triton.InferRequestedOutput("verdict")],
                    parameters={"camera": "left"},
                )
                .get_response()
                .outputs
            ],
            "errors": {
                "batch": failing(client, MODEL, [pixels_input(np.stack([pixels] * 2))]),
                "line": failing(client, "no/such", [bytes_input("frame", frames[0])]),
                "release": failing(client, MODEL, [bytes_input("frame", frames[0])], "9"),
                "frame": failing(client, MODEL, [bytes_input("frame", b"no picture")]),
                "input": failing(client, MODEL, [bytes_input("weight", b"1")]),
                "output": failing(
                    client,
                    MODEL,
                    [bytes_input("frame", frames[0])],
                    outputs=[triton.InferRequestedOutput("mask")],
                ),
            },
            "stream": streamed(client, [*frames, b"no picture", frames[0]]),
            "at_once": asked_at_once(client, frames * 4),
            "definition": definition(),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
