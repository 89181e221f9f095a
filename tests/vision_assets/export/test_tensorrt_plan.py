"""Plans are really built here; running them needs a GPU, which is not assumed (see the guide)."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection import bundle as bundles
from inspection.bundle import GRAPH, GRAPH_S8S8, GRAPH_U8S8
from store import artifacts
from store.errors import InvalidInput, NotFound
from store.hashing import canonical_json
from store.keys import LineKey
from store.root import Store
from tests.data.spots.generate import CONTRACT, RULE
from vision_assets.export.tensorrt_plan import PlanSettings, attach_plans, build_plan

pytest.importorskip("tensorrt_rtx", reason="the extra trt-rtx is not installed")

LINE = LineKey("turin", "press-3")
SETTINGS = PlanSettings(("sm86", "sm89"))


def test_the_float_graph_becomes_a_plan(graphs: dict[str, bytes]) -> None:
    plan = build_plan(graphs["right"], SETTINGS)
    assert plan.library == "tensorrt_rtx"
    assert plan.version
    assert len(plan.data) > 1000


def test_the_symmetric_int8_graph_becomes_a_plan(int8: dict[str, bytes]) -> None:
    assert len(build_plan(int8[GRAPH_S8S8], SETTINGS).data) > 1000


def test_the_graph_for_cpus_is_refused_with_all_that_was_said(int8: dict[str, bytes]) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read the graph:\n.*DequantizeLinear") as found:
        build_plan(int8[GRAPH_U8S8], SETTINGS)
    assert "Int32" in str(found.value)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Failed to parse the ONNX model"):
        build_plan(b"no graph", SETTINGS)


def test_an_unknown_capability_is_refused(graphs: dict[str, bytes]) -> None:
    with pytest.raises(InvalidInput, match=r"does not build for sm35; it does for .*sm86"):
        build_plan(graphs["right"], PlanSettings(("sm35",)))


@pytest.mark.parametrize("capabilities", [(), ("8.6",), ("sm86", "ampere")])
def test_capabilities_read_like_sm86(capabilities: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="read like sm86"):
        PlanSettings(capabilities)


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 4), (1, 8, 4)])
def test_sizes_are_ordered(sizes: tuple[int, int, int]) -> None:
    least, usual, most = sizes
    with pytest.raises(InvalidInput, match="1 <= least <= usual <= most"):
        PlanSettings(("sm86",), least, usual, most)


def test_plans_are_attached_once(
    graphs: dict[str, bytes], int8: dict[str, bytes], tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    files = {
        bundles.CONTRACT: canonical_json(CONTRACT.model_dump(mode="json")),
        bundles.RULE: canonical_json(RULE.model_dump(mode="json")),
        GRAPH: graphs["right"],
        **int8,
    }
    name = bundles.publish(store, LINE, files, {}, {}).name
    names = attach_plans(store, LINE, name, SETTINGS)
    attached = artifacts.attachments(store, LINE, bundles.KIND, name)
    assert set(names) == set(attached)
    assert [each.split("/")[1] for each in names] == [GRAPH, GRAPH_S8S8]
    assert all(each.endswith("/sm86-sm89.plan") for each in names)
    # A plan differs from build to build, so an equal hash says that none was built again.
    assert attach_plans(store, LINE, name, SETTINGS) == names
    assert artifacts.attachments(store, LINE, bundles.KIND, name) == attached


def test_plans_of_an_unknown_bundle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no bundles/nothing"):
        attach_plans(Store(str(tmp_path)), LINE, "nothing", SETTINGS)
