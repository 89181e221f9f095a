"""Documentation is current: generated pages, make targets, assets, links and commands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_generated_pages_are_current() -> None:
    for name, text in generated().items():
        page = ROOT / "docs" / "reference" / name
        assert page.read_text() == text, f"{name} is old: run `python docs/generate.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_is_explained_or_internal() -> None:
    text = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"`make ([a-z-]+)", page.read_text())
        if target != "check"
    }
    assert named <= known, f"no such make target: {named - known}"


def test_every_command_in_the_docs_exists() -> None:
    from serve.cli import main as serve_cli
    from vision_assets.cli import cli

    for program, group in (("vision-assets", cli), ("vision-serve", serve_cli)):
        for page in PAGES:
            for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
                for command in re.findall(rf"^\s*{program} ([a-z-]+)", block, re.MULTILINE):
                    assert command in group.commands, f"{page.name}: {program} {command}"


def test_every_asset_is_documented() -> None:
    from vision_assets.definitions import defs

    text = (ROOT / "docs" / "architecture.md").read_text()
    for asset in defs.resolve_asset_graph().get_all_asset_keys():
        assert f"`{asset.to_user_string()}`" in text


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
