"""The one family of errors.

VisionError
├── InvalidInput      what was given is wrong; the caller can mend it (also: UnreadableFrame)
│   └── UnreadableFrame   bytes that are not a frame the contract accepts
├── NotFound          what was named does not exist in the store
├── Conflict          another writer was first; nothing was changed
├── Corrupt           stored bytes do not have the hash their manifest states
├── Refused           a gate or policy says no; the message says which and what to do
└── Unavailable       an engine, store or process cannot do its work at present

A message says what was found, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class VisionError(Exception):
    """Root of every error this project raises on purpose."""


class InvalidInput(VisionError):
    """What was given is wrong and the caller can mend it."""

    @classmethod
    def listing(cls, what: str, faults: Sequence[str], most: int = 20) -> InvalidInput:
        """One error that names all faults at once.

        Args:
            what: One line that says what was checked.
            faults: Every fault found, in order.
            most: How many are printed; the rest are counted.

        >>> print(InvalidInput.listing("2 rows are wrong:", ["row 1: no file", "row 2: no camera"]))
        2 rows are wrong:
          - row 1: no file
          - row 2: no camera
        """
        lines = [f"  - {fault}" for fault in faults[:most]]
        if len(faults) > most:
            lines.append(f"  … and {len(faults) - most} more")
        return cls("\n".join([what, *lines]))


class UnreadableFrame(InvalidInput):
    """Bytes that are not a frame the contract accepts; `reason` is a stable short code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(VisionError):
    """What was named does not exist in the store."""


class Conflict(VisionError):
    """Another writer was first; nothing was changed."""


class Corrupt(VisionError):
    """Stored bytes do not have the hash that their manifest states."""


class Refused(VisionError):
    """A gate or policy says no."""


class Unavailable(VisionError):
    """An engine, a store or a process cannot do its work at present."""
