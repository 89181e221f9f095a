"""The memory stays bounded, covers what it saw, and leaves out what hardly any frame shows."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_assets.learning.anomaly.memory import (
    Memory,
    farthest_first,
    spread_out,
    squared_distances,
)


@settings(deadline=None, max_examples=30)
@given(frames=st.integers(1, 30), most=st.integers(1, 40), seed=st.integers(0, 99))
def test_every_patch_stays_near_a_centre(frames: int, most: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    seen = torch.randn(frames, 20, 3, generator=random)
    memory = Memory(3, most)
    for patches in seen:
        memory.add(patches)
        assert 1 <= len(memory.centres) == len(memory.support) <= most
    distance = squared_distances(seen.flatten(0, 1), memory.centres).min(1).values.sqrt()
    # Each merge moves a patch's centre by the radius of that time at most; they grow like a
    # geometric series, and in practice far less adds up.
    assert float(distance.max()) <= 4 * memory._radius2**0.5 + 1e-2


def test_few_patches_are_all_remembered() -> None:
    patches = torch.arange(12.0).reshape(6, 2)
    memory = Memory(2, 10)
    memory.add(patches)
    memory.add(patches)
    assert torch.equal(memory.centres, patches)
    assert memory.support.tolist() == [2] * 6


def test_a_bank_has_its_size_and_leaves_out_what_one_frame_shows() -> None:
    memory = Memory(1, 10)
    usual, odd = torch.tensor([[0.0], [1.0]]), torch.tensor([[50.0]])
    for _ in range(5):
        memory.add(usual)
    memory.add(odd)
    assert sorted(memory.bank(4, least_support=2).flatten().tolist()) == [0, 0, 1, 1]
    assert 50 in memory.bank(4, least_support=1).flatten()
    assert len(memory.bank(3, least_support=99)) == 3  # everything is rare: nothing is left out


def test_distances_and_the_farthest_are_those_of_the_definition() -> None:
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        squared_distances(points, points[:5]), torch.cdist(points, points[:5]) ** 2
    )
    chosen = farthest_first(points, 6)
    for place in range(1, 6):
        nearest = torch.cdist(points, points[chosen[:place]]).min(1).values
        assert int(nearest.argmax()) == int(chosen[place])
    kept = points[spread_out(points, 1.5**2)]
    apart = torch.cdist(kept, kept).fill_diagonal_(9)
    assert float(apart.min()) > 1.5
    assert float(torch.cdist(points, kept).min(1).values.max()) <= 1.5
