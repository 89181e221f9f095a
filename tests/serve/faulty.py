"""A bundle whose engine really fails: it answers its golden frames and no brighter one."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspection import bundle, evidence
from store import artifacts
from store.root import Store
from tests.data.bundle.generate import RULE, contract, golden, graph, proof
from tests.serve.running import ENGINES, LINE

_FAILS_FROM = 9.5  # a golden frame's highest score is 8, that of a white spot 10


def failing_graph(seed: int) -> bytes:
    """The tiny graph, with an index out of range where the score is high."""
    model = onnx.load_model_from_string(graph(3, seed))
    body = model.graph
    for node in body.node:
        node.output[:] = ["plain" if name == "score" else name for name in node.output]
    body.initializer.extend(
        [
            numpy_helper.from_array(np.array(_FAILS_FROM, np.float32), "fails_from"),
            numpy_helper.from_array(np.zeros(1, np.float32), "one_zero"),
        ]
    )
    body.node.extend(
        [
            helper.make_node("Greater", ["plain", "fails_from"], ["is_high"]),
            helper.make_node("Cast", ["is_high"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["one_zero", "index"], ["nothing"]),
            helper.make_node("Add", ["plain", "nothing"], ["score"]),
        ]
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_failing_bundle(store: Store, seed: int = 100) -> str:
    """Publish it; gives its name."""
    model, accepts = failing_graph(seed), contract()
    files = {
        bundle.CONTRACT: accepts.model_dump_json().encode(),
        bundle.RULE: RULE.model_dump_json().encode(),
        bundle.GRAPH: model,
    }
    name = bundle.publish(store, LINE, files, {"seed": seed}, {}).name
    attached = evidence.to_attachments(golden(graph(3, seed), accepts), [proof(e) for e in ENGINES])
    artifacts.attach(store, LINE, bundle.KIND, name, attached)
    return name
