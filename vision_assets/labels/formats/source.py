"""A data set on disk: its files by name, what was used of them, and everything wrong with it."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from store.errors import InvalidInput
from vision_assets.labels.formats import naming
from vision_assets.labels.formats.frame import ImportedFrame

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


class Source:
    """The folder of a data set, or one file in it that describes it.

    A layout reads frames from here, notes faults and counts, and says which files it used.
    """

    def __init__(self, path: Path, good: tuple[str, ...] = ()) -> None:
        """Open a data set.

        Args:
            path: A folder, or a file that describes frames beside it (table, annotations).
            good: Names of folders or classes that mean good; empty for the rule of `naming`.

        Raises:
            InvalidInput: when nothing is there.
        """
        if not path.exists():
            raise InvalidInput(f"{path} does not exist; give the folder of the data set")
        self.is_folder = path.is_dir()
        self.root = path if self.is_folder else path.parent
        self.good = good
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self._file = None if self.is_folder else path.name
        self._used: set[str] = set()

    def fault(self, where: str, what: str) -> None:
        """Note something that keeps the data set from being imported."""
        self.faults.append(f"{where}: {what}")

    def use(self, file: str) -> None:
        """Note that a file was made something of, so that it does not count as ignored."""
        self._used.add(file)

    def judge(self, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
        """What class names say of a frame: its label and its defect classes, sorted."""
        defects = tuple(sorted({name for name in names if not naming.is_good(name, self.good)}))
        return ("defect" if defects else "good"), defects

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every file below the root, relative with ``/``, in natural order."""
        found = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        return tuple(sorted(found, key=naming.natural_key))

    def is_used(self, file: str) -> bool:
        """Whether something was made of a file."""
        return file in self._used

    @cached_property
    def known(self) -> frozenset[str]:
        """Every file below the root, for look-ups."""
        return frozenset(self.files)

    @property
    def images(self) -> list[str]:
        """Files that are images by their suffix, in natural order."""
        return [file for file in self.files if is_image(file)]

    def documents(self, *suffixes: str) -> list[str]:
        """Files with one of these suffixes; the one file that was given, when one was."""
        if self._file is not None:
            return [self._file]
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def path(self, file: str) -> Path:
        """Where a file is."""
        return self.root / file

    def inside(self, name: str, folder: str = "") -> str | None:
        """The file of that name below `folder` (of the root), or None without one.

        Raises:
            InvalidInput: when the name leaves the data set.
        """
        name = name.replace("\\", "/")
        file = posixpath.normpath(posixpath.join(folder, name))
        if posixpath.isabs(name) or file.startswith("../"):
            raise InvalidInput(f"{name} lies outside the data set; give a path below {self.root}")
        return file if self.path(file).is_file() else None

    def find_image(self, name: str, described_in: str) -> str:
        """The image that an annotation file means, wherever below the root it lies.

        Looked for beside the annotation, from the root, then by its bare name with and without
        suffix; of several the one that shares most folders with the annotation.

        Raises:
            InvalidInput: when there is none, or several fit equally well.
        """
        for folder in (posixpath.dirname(described_in), ""):
            if beside := self.inside(name, folder):
                return beside
        bare = PurePosixPath(name.replace("\\", "/"))
        found = self._nearest(
            self._by_name.get(bare.name) or self._by_stem[bare.stem], described_in
        )
        if len(found) != 1:
            what = f"fits {', '.join(found)}" if found else "does not exist below the data set"
            raise InvalidInput(f"image {name} {what}")
        return found[0]

    def with_unlabelled(self, described: Mapping[str, ImportedFrame]) -> Iterator[ImportedFrame]:
        """Described frames in natural order, among them images that nothing describes.

        Those have no label and are counted. Beside a single annotation file there are none: it says
        which images it means. Images of which none is described are a fault.
        """
        if self.images and not described and not self.faults:
            what = f"nothing here describes any of its {len(self.images)} images"
            self.fault(str(self.root), f"{what}: is it another layout, or are annotations missing?")
        files = {*described, *(self.images if self.is_folder else ())}
        for file in sorted(files, key=naming.natural_key):
            self.use(file)
            if file not in described:
                self.counts["images without annotation, imported without a label"] += 1
            yield described.get(file) or ImportedFrame(self.path(file), file, None)

    def ignored(self) -> Counter[str]:
        """How many files nothing was made of, by suffix; unknown when one file was given."""
        if not self.is_folder:
            return Counter()
        return Counter(
            PurePosixPath(file).suffix.lower() or "no suffix"
            for file in self.files
            if file not in self._used
        )

    @staticmethod
    def _nearest(files: list[str], described_in: str) -> list[str]:
        shared = {file: _shared_folders(file, described_in) for file in files}
        most = max(shared.values(), default=0)
        return [file for file in files if shared[file] == most]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped((PurePosixPath(file).name, file) for file in self.images)

    @cached_property
    def _by_stem(self) -> defaultdict[str, list[str]]:
        return _grouped((PurePosixPath(file).stem, file) for file in self.images)


def is_image(file: str) -> bool:
    """Whether a file is an image by its suffix."""
    return file.lower().endswith(IMAGE_SUFFIXES)


def _grouped(pairs: Iterator[tuple[str, str]]) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, file in pairs:
        found[name].append(file)
    return found


def _shared_folders(first: str, second: str) -> int:
    return len(posixpath.commonpath([posixpath.dirname(first), posixpath.dirname(second)]))
