"""From a real snapshot to a check that answers, or one that says it cannot."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from inspection.decision import Label
from inspection.inspector import FrameContext
from inspection.rulebased import stored
from inspection.rulebased.inspector import RuleBasedInspector
from store import artifacts
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store
from tests.data.boards.generate import LINE, any_shot, board, frozen_line, scratched, shoot
from vision_assets.rule_based.make import Made, make, use


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Made]:
    """A line of boards and the check made from it; not to be changed."""
    store = Store(str(tmp_path_factory.mktemp("boards")))
    frozen_line(store, good=90, product="a")
    return store, make(store, LINE)


def test_the_check_tells_a_blotch_from_a_good_part(
    boards: tuple[Store, Made], tmp_path: Path
) -> None:
    store, made = boards
    assert not made.judged.why
    fetched = stored.fetch(store, LINE, tmp_path)
    assert fetched is not None
    check, name = fetched
    assert name == made.artifact.name
    inspector = RuleBasedInspector(check, name)
    for seed in range(500, 504):
        good = shoot(board(), any_shot(seed), seed)
        bad = shoot(scratched(board(), 110, 12, 250), any_shot(seed), seed)
        labels = [
            inspector.inspect(
                cv2.imencode(".png", plane)[1].tobytes(), FrameContext("top", "a")
            ).verdict.label
            for plane in (good, bad)
        ]
        assert labels == [Label.PASS, Label.REJECT]


def test_figures_are_of_the_role_test(boards: tuple[Store, Made]) -> None:
    _, made = boards
    assert set(made.test) == {"escapes", "overkill", "reviewed"}
    assert made.test["escapes"].count == 0
    assert made.test["reviewed"].of == made.test["escapes"].of + made.test["overkill"].of
    assert made.artifact.summary["why_useless"] == ""


def test_made_again_it_is_the_same(boards: tuple[Store, Made]) -> None:
    store, made = boards
    again = make(store, LINE)
    assert again.artifact == made.artifact
    assert len(list(artifacts.every(store, LINE, stored.KIND))) == 1


def test_parts_that_all_look_different_are_reviewed(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    frozen_line(store, good=40, bad=16, textured=True)
    made = make(store, LINE)
    assert made.judged.why
    fetched = stored.fetch(store, LINE, tmp_path)
    assert fetched is not None
    inspector = RuleBasedInspector(*fetched)
    for seed in range(3):
        data = cv2.imencode(".png", shoot(board(seed), seed=seed))[1].tobytes()
        answer = inspector.inspect(data, FrameContext("top"))
        assert answer.verdict.label is Label.REVIEW


def test_an_earlier_check_can_be_used_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    frozen_line(store, good=40, bad=0)
    first = make(store, LINE)
    check, name = stored.fetch(store, LINE, tmp_path / "cache") or pytest.fail("no check")
    other = check.model_copy(update={"rule": check.rule.model_copy(update={"products": ("z",)})})
    assert stored.publish(store, LINE, other, {}, {}).name != name
    assert use(store, LINE, first.artifact.name).name == name
    current = artifacts.current(store, LINE, stored.KIND)
    assert current is not None
    assert current.name == name
    with pytest.raises(NotFound, match="has no checks/none"):
        use(store, LINE, "none")


def test_without_a_snapshot_or_a_good_frame_it_says_what_is_missing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    frozen_line(store, good=0, bad=12)
    with pytest.raises(InvalidInput, match="no good frame to learn from"):
        make(store, LINE)
    from vision_assets.config import LineConfig, save

    other = LineKey("turin", "other")
    save(store, other, LineConfig())
    with pytest.raises(NotFound, match="no snapshot"):
        make(store, other)
