"""A tiny bundle that runs in a millisecond, and frames for it; seeded, no torch.

The graph looks for a bright spot: ``score`` is ``20 * (mean brightness of the brightest 8 x 8 cell
- 0.5)``, so that an even dark frame is PASS, a bright spot REJECT and a spot of brightness 0.5
REVIEW. Class 0 (``spot``) asks the same; class 1 (``dark``) asks for the darkest cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from inspection import bundle, evidence
from inspection.contract import Contract, InputSpec
from inspection.decision import Rule, Thresholds, decide
from inspection.evidence import EngineEvidence, Gate, Golden
from inspection.outputs import OUTPUT_NAMES, Outputs
from inspection.preprocess import prepare
from inspection.statistics import STATS_VERSION
from store import artifacts
from store.artifacts import Artifact
from store.keys import LineKey
from store.root import Store

CLASSES = ("spot", "dark")
CELL_PX = 8
SIZE_PX = 32
EMBEDDING_SIZE = 4
RULE = Rule(default=Thresholds(temperature=1.0, pass_below=0.2, reject_from=0.8))
GATES = (Gate(name="parity", passed=True, value=0, limit=0, message="0 flips of 3 frames"),)


def frame(brightness: float, seed: int = 0, channels: int = 3, size: int = 48) -> bytes:
    """A PNG of `size` pixels square: dark texture with one spot of that brightness in [0, 1]."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.15, 0.25, (size, size, channels))
    half = size // 2
    pixels[half // 4 : half, half // 4 : half] = brightness
    ok, data = cv2.imencode(".png", (pixels * 255).round().astype(np.uint8))
    assert ok
    return data.tobytes()


def graph(channels: int = 3, seed: int = 0, bias: float = 0.0) -> bytes:
    """The ONNX graph: uint8 (N, 32, 32, channels) in, the four outputs out; opset 20, IR 10.

    Args:
        channels: Of the input.
        seed: Of the embedding's weights: another seed is another bundle with the same verdicts.
        bias: Added to the score: +40 rejects every frame, -40 passes every frame.
    """
    kernel = np.zeros((3 + EMBEDDING_SIZE, channels, CELL_PX, CELL_PX), np.float32)
    kernel[:2] = 20 / (channels * CELL_PX**2)
    kernel[2] = -kernel[0]
    kernel[3:] = np.random.default_rng(seed).normal(0, 0.01, kernel[3:].shape)
    offset = np.array([bias - 10, bias - 10, 2, *[0] * EMBEDDING_SIZE], np.float32)
    shapes = zip(
        OUTPUT_NAMES, ([], [len(CLASSES)], [EMBEDDING_SIZE], [SIZE_PX // CELL_PX] * 2), strict=True
    )
    pixels = helper.make_tensor_value_info(
        "pixels", TensorProto.UINT8, ["N", SIZE_PX, SIZE_PX, channels]
    )
    body = helper.make_graph(
        _nodes(),
        "tiny",
        [pixels],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *s]) for n, s in shapes],
        [
            numpy_helper.from_array(np.array(255, np.float32), "white"),
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(offset, "offset"),
            numpy_helper.from_array(np.array([1, 2, EMBEDDING_SIZE]), "parts"),
            numpy_helper.from_array(np.array([2, 3]), "plane"),
            numpy_helper.from_array(np.array([1, 2, 3]), "all"),
            numpy_helper.from_array(np.array([1]), "channel"),
        ],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        node("Div", ["real", "white"], ["scaled"]),
        node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "kernel", "offset"], ["cells"], strides=[CELL_PX, CELL_PX]),
        node("Split", ["cells", "parts"], ["heat", "class_cells", "features"], axis=1),
        node("ReduceMax", ["heat", "all"], ["score"], keepdims=0),
        node("ReduceMax", ["class_cells", "plane"], ["class_logits"], keepdims=0),
        node("Sigmoid", ["class_logits"], ["class_scores"]),
        node("ReduceMean", ["features", "plane"], ["embedding"], keepdims=0),
        node("Squeeze", ["heat", "channel"], ["heat_plane"]),
        node("Sigmoid", ["heat_plane"], ["map"]),
    ]


def reference(model: bytes, pixels: NDArray[np.uint8]) -> Outputs:
    """What the graph gives by ONNX's own definition of its operators: the oracle for engines."""
    evaluator = ReferenceEvaluator(onnx.load_model_from_string(model))
    return Outputs(*evaluator.run(list(OUTPUT_NAMES), {"pixels": pixels}))


def contract(channels: int = 3) -> Contract:
    """The contract that `graph` fulfils."""
    return Contract(
        task="classification",
        classes=CLASSES,
        input=InputSpec(channels=channels, height=SIZE_PX, width=SIZE_PX),
        embedding_size=EMBEDDING_SIZE,
        map_height=SIZE_PX // CELL_PX,
        map_width=SIZE_PX // CELL_PX,
        stats_version=STATS_VERSION,
    )


def golden(model: bytes, accepts: Contract, rule: Rule = RULE) -> list[Golden]:
    """One frame of each verdict, with the oracle's answers."""
    found = []
    for seed, brightness in enumerate((0.2, 0.5, 0.9)):
        data = frame(brightness, seed, accepts.input.channels)
        outputs = reference(model, prepare(data, accepts.input).pixels[np.newaxis])
        label = decide(outputs, accepts.classes, rule).label
        classes = tuple(map(float, outputs.class_scores[0]))
        found.append(
            Golden(f"golden-{seed}", data, "", "", label, float(outputs.score[0]), classes)
        )
    return found


def proof(engine: str, graph_name: str = bundle.GRAPH, passed: bool = True) -> EngineEvidence:
    """Evidence that an engine answers as it should, or does not."""
    return EngineEvidence(
        engine=engine,
        graph=graph_name,
        frames=3,
        flips=0 if passed else 1,
        added_escapes=0,
        max_score_difference=1e-6,
        latency_p50_ms=1.0,
        latency_p99_ms=2.0,
        passed=passed,
    )


def write_bundle(
    store: Store,
    line: LineKey,
    *,
    channels: int = 3,
    seed: int = 0,
    bias: float = 0.0,
    rule: Rule = RULE,
    engines: Sequence[str] = ("onnxruntime", "openvino"),
    gates: Sequence[Gate] = GATES,
) -> Artifact:
    """Publish a complete tiny bundle: graph, contract, rule, golden frames, evidence and gates.

    Args:
        store: Where to.
        line: Whose bundle.
        channels: 1 or 3.
        seed: Another seed is another bundle with the same verdicts.
        bias: As for `graph`.
        rule: The decision rule.
        engines: Which engines have passed their parity evidence.
        gates: What promotion will look at.
    """
    model, accepts = graph(channels, seed, bias), contract(channels)
    files = {
        bundle.CONTRACT: accepts.model_dump_json().encode(),
        bundle.RULE: rule.model_dump_json().encode(),
        bundle.GRAPH: model,
    }
    artifact = bundle.publish(store, line, files, {"seed": seed}, {"auroc": 1.0})
    attached = evidence.to_attachments(
        golden(model, accepts, rule), [proof(name) for name in engines], gates
    )
    artifacts.attach(store, line, bundle.KIND, artifact.name, {**attached, "card.md": b"# Tiny\n"})
    return artifact
