"""The few calls of the CUDA driver that running a plan takes, through ctypes.

The driver's own library is on every host that has a GPU, whatever CUDA version the plan's library
came with, so that this needs no further package. **Never executed where it was written: no GPU
was there.** Tests that need one are marked ``gpu``.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from store.errors import Unavailable

_LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


class CudaDevice:
    """The first GPU, with one stream."""

    def __init__(self) -> None:
        """Open the device.

        Raises:
            Unavailable: when there is no driver or no GPU.
        """
        try:
            self._driver = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise Unavailable(f"no NVIDIA driver on this host ({error})") from error
        self._call("cuInit", ctypes.c_uint(0))
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), ctypes.c_int(0))
        self._context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.enter()
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
        self.stream = stream.value or 0

    @property
    def capability(self) -> str:
        """The compute capability, such as ``sm86``."""
        major, minor = (self._attribute(n) for n in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
        return f"sm{major}{minor}"

    def enter(self) -> None:
        """Make the device current in the calling thread; to be called before all that follows."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size_bytes: int) -> int:
        """The address of new device memory."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return address.value

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, source: NDArray[np.uint8]) -> None:
        """Copy a contiguous array to the device, in the stream."""
        size = ctypes.c_size_t(source.nbytes)
        host = ctypes.c_void_p(source.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), host, size, self._stream)

    def download(self, target: NDArray[np.float32], address: int) -> None:
        """Copy device memory into a contiguous array, in the stream."""
        size = ctypes.c_size_t(target.nbytes)
        host = ctypes.c_void_p(target.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", host, ctypes.c_uint64(address), size, self._stream)

    def wait(self) -> None:
        """Return when everything in the stream is done."""
        self._call("cuStreamSynchronize", self._stream)

    @property
    def _stream(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.stream)

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), self._device)
        return value.value

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code != 0:
            raise Unavailable(f"CUDA driver: {function} gave error {code}")
