"""Describes the magnetic-tile frames for `vision-assets import --layout csv`.

    python benchmarks/tiles/table.py PATH TABLE.csv

The same tile was photographed about six times, and nothing in a file name says so. The rule:
within a class, sorted by the running number, a new tile starts where the exposure number does not
increase. Neighbouring groups that look alike (48 x 48 correlation above 0.95, numbers within 2,000)
are one tile seen again, also across classes, and are joined. Batches are four contiguous blocks of
tiles per class.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCKS = 4
_ALIKE, _NEAR, _SIDE = 0.95, 2000, 48
_NAME = re.compile(r"exp(\d+)_num_(\d+)\.jpg$")


@dataclass
class Tile:
    """Frames of one tile: (number, exposure, path), in order."""

    label: str
    frames: list[tuple[int, int, Path]]
    block: int = 0
    joined: str = ""


def tiles_of(folder: Path) -> list[Tile]:
    """Every tile below `folder`, by class and number, with its block."""
    found: list[Tile] = []
    for kind in sorted(path for path in folder.glob("MT_*") if path.is_dir()):
        frames = sorted(
            (int(match[2]), int(match[1]), path)
            for path in kind.rglob("*.jpg")
            if (match := _NAME.search(path.name))
        )
        label = kind.name.removeprefix("MT_").lower()
        tiles: list[Tile] = []
        for number, exposure, path in frames:
            if not tiles or exposure <= tiles[-1].frames[-1][1]:
                tiles.append(Tile(label, []))
            tiles[-1].frames.append((number, exposure, path))
        for position, tile in enumerate(tiles):
            tile.block = 1 + position * BLOCKS // len(tiles)
            tile.joined = f"{label}-{position:03d}"
        found += tiles
    return found


def join_alike(tiles: list[Tile]) -> None:
    """Give tiles that look alike one name: that of the first of them."""
    looks = np.stack([_look(path) for tile in tiles for _, _, path in tile.frames])
    numbers = np.array([number for tile in tiles for number, _, _ in tile.frames])
    owner = np.repeat(np.arange(len(tiles)), [len(tile.frames) for tile in tiles])
    near = np.abs(numbers[:, None] - numbers[None, :]) <= _NEAR
    for i, j in np.argwhere((looks @ looks.T > _ALIKE) & near):
        first, second = sorted((tiles[owner[i]].joined, tiles[owner[j]].joined))
        if first != second:
            for tile in tiles:
                tile.joined = first if tile.joined == second else tile.joined


def _look(path: Path) -> NDArray[np.float32]:
    """A frame as a unit vector of 48 x 48 grey levels without their mean."""
    grey = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    vector = (small - small.mean()).ravel()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)


def rows(folder: Path, tiles: list[Tile]) -> list[dict[str, str]]:
    """One row a frame, in order of capture (the running number, a second apart)."""
    start = datetime(2018, 1, 1, tzinfo=UTC)
    found = []
    for tile in tiles:
        for number, exposure, path in tile.frames:
            file = path.relative_to(folder.parent).as_posix()
            mask = Path(file).with_suffix(".png").as_posix()
            is_good = tile.label == "free"
            found.append(
                {
                    "file": file,
                    "label": "good" if is_good else "defect",
                    "classes": "" if is_good else tile.label,
                    "mask": "" if is_good else mask,
                    "serial": tile.joined,
                    "batch": f"block-{tile.block}",
                    "captured_at": (start + timedelta(seconds=number)).isoformat(),
                    "exposure": str(exposure),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the folder that holds MT_Free, MT_Blowhole, …")
    parser.add_argument("table", type=Path, help="written beside a link to the folder")
    given = parser.parse_args()
    folder = given.path.resolve()
    tiles = tiles_of(folder)
    if not tiles:
        sys.exit(f"{folder} holds no MT_<Class>/…/exp<E>_num_<N>.jpg")
    join_alike(tiles)
    given.table.parent.mkdir(parents=True, exist_ok=True)
    link = given.table.parent / folder.name
    if not link.exists():
        link.symlink_to(folder)
    table = rows(folder, tiles)
    with given.table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0].keys())
        writer.writeheader()
        writer.writerows(table)
    joined = len({tile.joined for tile in tiles})
    print(
        f"{len(table)} frames of {len(tiles)} tiles, {joined} after joining those that look alike"
    )


if __name__ == "__main__":
    main()
