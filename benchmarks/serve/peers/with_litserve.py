# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, D101, D102 - its libraries are not installed here
"""LitServe: two workers, its fast queue; the file comes as a form's upload, as its guide has it."""

import os
import sys

import litserve
import work
from fastapi import Response


class Inspection(litserve.LitAPI):
    def setup(self, device):
        self.session = work.open_session(os.environ["GRAPH"])

    def decode_request(self, request):
        return request["content"].file.read()

    def predict(self, data):
        return work.answer(self.session, data)

    def encode_response(self, output):
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    os.environ["GRAPH"] = sys.argv[2]
    server = litserve.LitServer(
        Inspection(api_path="/predict"),
        accelerator="cpu",
        workers_per_device=work.CORES,
        fast_queue=True,
    )
    server.run(
        port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False
    )
