"""The patch memory learns from good frames, and its graph says what its network says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from store.errors import InvalidInput
from vision_assets.learning import backbone
from vision_assets.learning.anomaly.network import BANK, PatchMemory
from vision_assets.learning.anomaly.task import TASK


def plates(number: int, seed: int, *, dent: bool = False) -> Tensor:
    """Frames (n, 64, 64, 1) uint8 of even noise, with a dark square when dented."""
    random = torch.Generator().manual_seed(seed)
    frames = 150 + 6 * torch.randn(number, 64, 64, 1, generator=random)
    if dent:
        frames[:, 20:30, 30:40] -= 90
    return frames.clamp(0, 255).byte()


@pytest.fixture(scope="module")
def network() -> PatchMemory:
    torch.manual_seed(0)
    made = TASK.network(backbone.build(backbone.from_scratch(1), 64, 64), ("defect",)).train(False)
    TASK.finalise(
        made,
        lambda: iter(torch.split(plates(24, 1), 8)),
        lambda: iter(torch.split(plates(8, 2), 8)),
    )
    assert isinstance(made, PatchMemory)
    return made


def test_no_parameter_asks_for_a_gradient(network: PatchMemory) -> None:
    assert not [p for p in network.parameters() if p.requires_grad]
    assert network.bank.shape[0] == BANK


@torch.inference_mode()
def test_a_dent_is_farther_than_any_good_frame_and_is_found_where_it_is(
    network: PatchMemory,
) -> None:
    good, bad = network(plates(16, 3)), network(plates(16, 4, dent=True))
    assert float(bad.score.min()) > float(good.score.max()) + 3
    rows = bad.distances.flatten(1).argmax(1) // bad.distances.shape[2]
    columns = bad.distances.flatten(1).argmax(1) % bad.distances.shape[2]
    assert set(rows.tolist()) <= {2, 3}
    assert set(columns.tolist()) <= {3, 4, 5}


@torch.inference_mode()
def test_the_graph_gives_four_outputs(network: PatchMemory) -> None:
    frames = plates(3, 5, dent=True)
    score, classes, embedding, heat = TASK.graph(network)(frames)
    assert torch.equal(score, network(frames).score)
    assert classes.shape == (3, 1)
    assert embedding.shape[0] == 3
    assert heat.shape == (3, 8, 8)
    assert 0 <= float(heat.min()) <= float(heat.max()) <= 1


def test_the_same_frames_make_the_same_memory(network: PatchMemory) -> None:
    torch.manual_seed(0)
    again = TASK.network(backbone.build(backbone.from_scratch(1), 64, 64), ("defect",)).train(False)
    TASK.finalise(
        again,
        lambda: iter(torch.split(plates(24, 1), 5)),
        lambda: iter(torch.split(plates(8, 2), 8)),
    )
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, msg=name, atol=1e-4, rtol=1e-3)


def test_without_good_frames_it_says_what_is_missing() -> None:
    def none() -> Iterator[Tensor]:
        return iter(())

    made = TASK.network(backbone.build(backbone.from_scratch(1), 64, 64), ("defect",)).train(False)
    with pytest.raises(InvalidInput, match="role train has no good frame"):
        TASK.finalise(made, none, none)
