from __future__ import annotations

import subprocess
import sys

import pytest

from store.errors import InvalidInput
from vision_assets.learning import registry


def test_a_task_is_found_by_its_folder() -> None:
    assert registry.names() == ["anomaly", "classification", "segmentation"]
    assert type(registry.task("classification")).__name__ == "Classification"
    assert registry.version("classification") >= 1


@pytest.mark.parametrize("ask", [registry.task, registry.version])
def test_an_unknown_task_names_what_there_is(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(InvalidInput, match=r"'reading' does not exist; there are anomaly, "):
        ask("reading")


def test_the_line_without_classes_has_one() -> None:
    assert registry.class_names("classification", ["pit"]) == ("pit",)
    assert registry.class_names("classification", []) == ("defect",)
    assert registry.class_names("anomaly", ["pit"]) == ("defect",)


def test_asking_for_a_version_loads_no_torch() -> None:
    code = (
        "import sys; from vision_assets.training import train; "
        "from vision_assets.learning import registry; registry.version('classification'); "
        "assert not {'torch', 'transformers', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
