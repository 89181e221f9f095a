"""What holds for every task, also for one that somebody adds."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch

from inspection.contract import Contract, InputSpec
from inspection.outputs import OUTPUT_NAMES, Outputs
from vision_assets.export.graph import export_graph
from vision_assets.learning import backbone, registry
from vision_assets.learning.task import Graph, Network, Sample

SIDE = 64
LINE_CLASSES = ("a", "b")

every_task = pytest.mark.parametrize("name", registry.names())
taught = pytest.mark.parametrize("name", [n for n in registry.names() if registry.needs_defects(n)])


def frames(number: int, seed: int) -> torch.Tensor:
    """Good frames of even noise (number, SIDE, SIDE, 1) uint8."""
    random = torch.Generator().manual_seed(seed)
    noise = 150 + 8 * torch.randn(number, SIDE, SIDE, 1, generator=random)
    return noise.clamp(0, 255).byte()


@cache
def network(name: str) -> Network:
    torch.manual_seed(0)
    task = registry.task(name)
    body = backbone.build(backbone.from_scratch(1), SIDE, SIDE)
    made = task.network(body, registry.class_names(name, LINE_CLASSES)).train(False)
    task.finalise(
        made,
        lambda: iter(torch.split(frames(12, 1), 4)),
        lambda: iter(torch.split(frames(8, 2), 4)),
    )
    return made


def graph(name: str) -> Graph:
    made = registry.task(name).graph(network(name))
    made.train(False)
    return made


def answer(name: str, pixels: torch.Tensor) -> Outputs:
    made = graph(name)
    with torch.no_grad():
        values = [value.numpy() for value in made(pixels)]
    return Outputs(**dict(zip(made.output_names, values, strict=True)))


@every_task
def test_the_graph_gives_what_outputs_promise(name: str) -> None:
    found = answer(name, torch.randint(0, 256, (3, SIDE, SIDE, 1), dtype=torch.uint8))
    classes = registry.class_names(name, LINE_CLASSES)
    assert found.score.shape == (3,)
    assert found.class_scores.shape == (3, len(classes))
    assert found.embedding.ndim == 2
    assert found.map.ndim == 3
    shares = [found.class_scores, found.map]
    if found.segments is not None:
        assert found.segments.shape[:2] == (3, len(classes))
        shares.append(found.segments)
    for share in shares:
        assert 0 <= share.min() <= share.max() <= 1
    values = [getattr(found, each) for each in graph(name).output_names]
    assert {value.dtype for value in values} == {np.dtype(np.float32)}
    assert graph(name).output_names[: len(OUTPUT_NAMES)] == OUTPUT_NAMES


@every_task
def test_a_frame_gets_the_same_answer_in_any_company(name: str) -> None:
    pixels = torch.randint(0, 256, (4, SIDE, SIDE, 1), dtype=torch.uint8)
    many, alone = answer(name, pixels), answer(name, pixels[2:3])
    np.testing.assert_allclose(many.score[2:3], alone.score, rtol=1e-4, atol=1e-4)


@every_task
def test_an_engine_says_what_torch_says(name: str) -> None:
    pixels = torch.cat([frames(2, 5), torch.randint(0, 256, (1, SIDE, SIDE, 1)).byte()])
    expected = answer(name, pixels)
    contract = Contract(
        task=name,
        classes=registry.class_names(name, LINE_CLASSES),
        input=InputSpec(channels=1, height=SIDE, width=SIDE),
        embedding_size=expected.embedding.shape[1],
        map_height=expected.map.shape[1],
        map_width=expected.map.shape[2],
        stats_version=1,
        segments=None if expected.segments is None else expected.segments.shape[2:],
        boxes=None if expected.boxes is None else expected.boxes.shape[1],
    )
    session = onnxruntime.InferenceSession(export_graph(graph(name), contract))
    names = list(contract.output_names)
    for each, value in zip(names, session.run(names, {"pixels": pixels.numpy()}), strict=True):
        np.testing.assert_allclose(value, getattr(expected, each), rtol=1e-3, atol=1e-3)


@taught
def test_every_part_of_the_loss_teaches_the_network(name: str) -> None:
    task = registry.task(name)
    torch.manual_seed(0)
    body = backbone.build(backbone.from_scratch(1), SIDE, SIDE)
    learner = task.network(body, LINE_CLASSES).train()
    random = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:16, 8:16] = 1
    pixels = random.integers(0, 256, (SIDE, SIDE, 1)).astype(np.uint8)
    samples = [Sample(pixels, True, ("a",), mask), Sample(pixels, False, (), mask * 0)]
    batch = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
    parts = task.loss(learner(batch), task.targets(samples, LINE_CLASSES))
    first = learner.backbone.model.get_parameter("embedder.embedder.convolution.weight")
    for part, value in parts.items():
        (gradient,) = torch.autograd.grad(value, [first], retain_graph=True)
        assert float(gradient.abs().sum()) > 0, part


@taught
def test_a_few_steps_tell_a_marked_defect_from_a_good_frame(name: str) -> None:
    task = registry.task(name)
    torch.manual_seed(0)
    body = backbone.build(backbone.from_scratch(1), SIDE, SIDE)
    learner = task.network(body, LINE_CLASSES).train()
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20:36, 28:44] = 1
    good = frames(8, 3).numpy()
    bad = good.copy()
    bad[:, 20:36, 28:44] = 30
    samples = [Sample(each, False, (), mask * 0) for each in good]
    samples += [Sample(each, True, ("a",), mask) for each in bad]
    batch = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
    targets = task.targets(samples, LINE_CLASSES)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        loss = torch.stack(list(task.loss(learner(batch), targets).values())).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    made = task.graph(learner)
    made.train(False)
    with torch.no_grad():
        found = dict(zip(made.output_names, made(batch), strict=True))
    assert float(found["score"][8:].min()) > float(found["score"][:8].max())
    if "segments" in found:
        rows, columns = found["segments"].shape[2:]
        inside = found["segments"][8:, 0, rows * 24 // SIDE : rows * 32 // SIDE]
        inside = inside[..., columns * 32 // SIDE : columns * 40 // SIDE]
        assert float(inside.mean()) > 3 * float(found["segments"][:8, 0].mean())
