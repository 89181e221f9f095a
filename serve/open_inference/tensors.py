"""Tensors of the Open Inference Protocol: raw or typed in, and out in the form that came in."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serve.protocol import open_inference_pb2 as pb
from store.errors import InvalidInput

BYTES, UINT8, FP64 = "BYTES", "UINT8", "FP64"
MOST_AXES = 4
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """One input as it came; what its datatype and shape promise is not checked yet.

    Attributes:
        name: Of the input.
        datatype: Such as ``UINT8`` or ``BYTES``.
        shape: As the client states it.
        raw: Its bytes when they are raw, else None.
        typed: Its typed contents.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | None
    typed: pb.InferTensorContents

    def one_of_bytes(self) -> bytes:
        """The only element of a BYTES tensor of shape [1] or [1, 1].

        Raises:
            InvalidInput: when it is another datatype, has several elements, or is cut.
        """
        if self.datatype != BYTES or self.shape not in ((1,), (1, 1)):
            raise InvalidInput(
                f"input {self.name} is {self._described()}, expected BYTES of shape [1]: one "
                "frame a request; send several requests at once, they are worked on side by side"
            )
        if self.raw is None:
            elements = list(self.typed.bytes_contents)
            if len(elements) != 1:
                raise InvalidInput(f"input {self.name} has {len(elements)} elements, expected 1")
            return elements[0]
        found = len(self.raw) - _LENGTH.size
        if found < 0 or _LENGTH.unpack_from(self.raw)[0] != found:
            raise InvalidInput(
                f"input {self.name} has {len(self.raw)} raw bytes, expected one element after its "
                "length as four bytes, little-endian"
            )
        return self.raw[_LENGTH.size :]

    def text(self) -> str:
        """The only element of a BYTES tensor as text.

        Raises:
            InvalidInput: as `one_of_bytes`, or when it is not UTF-8.
        """
        data = self.one_of_bytes()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"input {self.name} is not UTF-8: {error.reason}") from error

    def pixels(self) -> tuple[bytes, tuple[int, ...]]:
        """Bytes and shape (H, W) or (H, W, C) of a UINT8 tensor, a leading axis of 1 taken off.

        Raises:
            InvalidInput: when it is another datatype, or holds several frames.
        """
        shape = self.shape
        is_batch = len(shape) == MOST_AXES and shape[0] != 1
        if self.datatype != UINT8 or len(shape) not in (2, 3, MOST_AXES) or is_batch:
            raise InvalidInput(
                f"input {self.name} is {self._described()}, expected UINT8 of shape [H, W], "
                "[H, W, C] or [1, H, W, C]: one frame a request; send several requests at once, "
                "they are worked on side by side"
            )
        if any(size <= 0 for size in shape):
            raise InvalidInput(f"input {self.name} is {self._described()}, expected sizes above 0")
        data = self._typed_pixels() if self.raw is None else self.raw
        if len(data) != math.prod(shape):
            raise InvalidInput(
                f"input {self.name} has {len(data)} elements, its shape {list(shape)} takes "
                f"{math.prod(shape)}"
            )
        return data, shape[1:] if len(shape) == MOST_AXES else shape

    def _typed_pixels(self) -> bytes:
        values = np.asarray(self.typed.uint_contents, np.uint32)
        if values.size and values.max() > np.iinfo(np.uint8).max:
            raise InvalidInput(f"input {self.name} holds {values.max()}, UINT8 ends at 255")
        return values.astype(np.uint8).tobytes()

    def _described(self) -> str:
        shape = list(self.shape[: MOST_AXES + 1])
        dots = " …" if len(self.shape) > len(shape) else ""
        return f"{self.datatype[:20]} of shape {shape}{dots}"


def inputs_of(request: pb.ModelInferRequest) -> dict[str, Tensor]:
    """The inputs of a request by name.

    Raises:
        InvalidInput: when a name is there twice, or raw contents do not fit the inputs.
    """
    raw = request.raw_input_contents
    names = [one.name for one in request.inputs]
    if raw and len(raw) != len(names):
        raise InvalidInput(
            f"the request has {len(names)} inputs and {len(raw)} raw contents: send one for each, "
            "or typed contents for all"
        )
    if len(set(names)) != len(names):
        raise InvalidInput("an input is there twice: send each once")
    for one in request.inputs:
        if any(key.startswith("shared_memory") for key in one.parameters):
            raise InvalidInput(
                f"input {one.name} is in shared memory, which this server does not open: send its "
                "bytes"
            )
    return {
        one.name: Tensor(
            one.name,
            one.datatype,
            tuple(one.shape),
            raw[index] if raw else None,
            one.contents,
        )
        for index, one in enumerate(request.inputs)
    }


def add_output(
    response: pb.ModelInferResponse, name: str, values: Sequence[bytes] | Sequence[float], raw: bool
) -> None:
    """Add a one-dimensional output: BYTES of bytes, FP64 of floats.

    Args:
        response: Gets the output.
        name: Of the output.
        values: Its elements; an empty output is FP64.
        raw: Whether it goes into ``raw_output_contents``.
    """
    texts = [value for value in values if isinstance(value, bytes)]
    numbers = [value for value in values if not isinstance(value, bytes)]
    datatype = BYTES if texts else FP64
    tensor = response.outputs.add(name=name, datatype=datatype, shape=[len(values)])
    if not raw:
        tensor.contents.bytes_contents.extend(texts)
        tensor.contents.fp64_contents.extend(numbers)
        return
    data = b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    response.raw_output_contents.append(data or np.asarray(numbers, "<f8").tobytes())
