"""Makes the code beside the protocol files again: ``python -m serve.protocol.generate``.

Needs grpcio-tools (extra ``dev``); a test compares what it gives with what is committed.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

_HERE = Path(__file__).parent
PROTOCOLS = ("serve/protocol/inspection_v1.proto", "serve/protocol/open_inference.proto")


def generate(folder: Path) -> int:
    """Write the generated modules below `folder`, which stands for the repository's root.

    Returns:
        The status of protoc: 0 when it succeeded.
    """
    from grpc_tools import protoc  # not needed, and not installed, on the line

    return int(
        protoc.main(
            [
                "protoc",
                f"-I{_HERE.parent.parent}",
                f"-I{files('grpc_tools') / '_proto'}",
                f"--python_out={folder}",
                f"--pyi_out={folder}",
                f"--grpc_python_out={folder}",
                *PROTOCOLS,
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(generate(_HERE.parent.parent))
