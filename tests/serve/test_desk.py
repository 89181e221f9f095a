"""A message becomes a frame of a line; who may ask one line does not learn of the others."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from serve import tokens
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol import open_inference_pb2 as oip
from serve.protocol.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve.tokens import Role
from store.keys import LineKey
from store.root import Store
from tests.serve.running import LINE, promote, serving

SECRET = LineKey("turin", "secret")


def test_an_unknown_line_names_only_lines_that_the_token_covers(
    tmp_path: Path, store: Store
) -> None:
    for line in (LINE, SECRET):
        promote(store, line=line)
    path = tmp_path / "tokens.json"
    token = tokens.create(path, str(LINE), [Role.INSPECT])
    metadata = (("authorization", f"Bearer {token}"),)
    with (
        serving(tmp_path, lines=f"{LINE},{SECRET}", tokens=path) as (server, client),
        grpc.insecure_channel(server.address) as channel,
    ):
        open_inference = GRPCInferenceServiceStub(channel)
        infer = oip.ModelInferRequest(model_name="turin/x")
        for ask in (
            lambda: client.stub.Inspect(pb.Frame(line="turin/x"), metadata=metadata),
            lambda: client.stub.Inspect(pb.Frame(), metadata=metadata),
            lambda: open_inference.ModelInfer(infer, metadata=metadata),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                ask()
            said = str(raised.value)
            assert str(LINE) in said
            assert str(SECRET) not in said


@pytest.mark.parametrize("is_fast", [True, False])
def test_information_names_only_lines_that_the_token_covers(
    tmp_path: Path, store: Store, is_fast: bool
) -> None:
    for line in (LINE, SECRET):
        promote(store, line=line)
    path = tmp_path / "tokens.json"
    token = tokens.create(path, str(LINE), [Role.READ])
    metadata = (("authorization", f"Bearer {token}"),)
    folders = {"lines": f"{LINE},{SECRET}", "tokens": path}
    with serving(tmp_path, is_fast=is_fast, **folders) as (_, client):
        info = client.stub.GetServerInfo(pb.ServerInfoRequest(line=str(LINE)), metadata=metadata)
        assert list(info.lines) == [str(LINE)]
        with pytest.raises(grpc.RpcError) as raised:
            client.stub.GetServerInfo(pb.ServerInfoRequest(line="turin/x"), metadata=metadata)
        assert str(SECRET) not in str(raised.value)
