"""Compiles the C++ clients and the C++ peer, once for each state of their sources."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

SOURCES = Path(__file__).parent / "client"
PROTO = Path(__file__).parents[2] / "serve" / "protocol" / "inspection_v1.proto"
CACHE = Path.home() / ".cache" / "vision-bench"
"""Where compiled programs and the peers' environments are kept; an option names another folder."""

PACKAGES = (
    "g++ pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc "
    "libturbojpeg0-dev libopencv-imgproc-dev"
)
"""Debian's packages that the compiled programs need."""


def grpc_client(cache: Path = CACHE) -> Path:
    """The compiled gRPC client.

    Raises:
        RuntimeError: when a tool is missing or a source does not compile.
    """
    files = [SOURCES / name for name in ("grpc.cc", "load.cc", "load.h")]
    return compiled("load-grpc", [*files, PROTO], libraries=("grpc++", "protobuf"), cache=cache)


def http_client(cache: Path = CACHE) -> Path:
    """The compiled HTTP client; raises as `grpc_client` does."""
    files = [SOURCES / name for name in ("http.cc", "load.cc", "load.h")]
    return compiled("load-http", files, libraries=(), cache=cache)


def native_server(cache: Path = CACHE) -> Path:
    """The compiled C++ peer, with the ONNX Runtime of this environment; raises as `grpc_client`."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    folder = cache / "compiled" / library.name
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "libonnxruntime.so.1"  # the name under which programs look for it
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    options = ["-I/usr/include/opencv4", str(link), f"-Wl,-rpath,{folder}"]
    options += ["-lopencv_imgproc", "-lopencv_core", "-lturbojpeg"]
    files = [SOURCES.parent / "peers" / "native.cc", PROTO]
    return compiled("native", files, ("grpc++", "protobuf"), cache, options)


def compiled(
    name: str,
    sources: Sequence[Path],
    libraries: Sequence[str],
    cache: Path,
    options: Sequence[str] = (),
) -> Path:
    """A program made of `sources` (``.cc``, ``.h`` and ``.proto`` files); found again when made.

    Args:
        name: Of the program.
        sources: Their contents, with the options, name the folder in the cache.
        libraries: By their pkg-config names.
        cache: Folder above.
        options: Further ones for the compiler.

    Raises:
        RuntimeError: when a tool is missing or a source does not compile.
    """
    plugin = _require("g++", "protoc", "pkg-config", "grpc_cpp_plugin")
    state = hashlib.sha256(" ".join(options).encode())
    for path in sources:
        state.update(path.read_bytes())
    folder = cache / "compiled" / f"{name}-{state.hexdigest()[:12]}"
    program = folder / name
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for path in (path for path in sources if path.suffix == ".proto"):
        places = (f"--cpp_out={folder}", f"--grpc_out={folder}")
        _run("protoc", f"-I{path.parent}", *places, f"--plugin=protoc-gen-grpc={plugin}", path.name)
        made += [folder / f"{path.stem}.pb.cc", folder / f"{path.stem}.grpc.pb.cc"]
    flags = _run("pkg-config", "--cflags", "--libs", *libraries).split() if libraries else []
    units = [str(path) for path in [*sources, *made] if path.suffix == ".cc"]
    fresh = folder / f".{name}"
    folders = [f"-I{folder}", *{f"-I{path.parent}" for path in sources if path.suffix == ".h"}]
    command = ["g++", "-std=c++17", "-O2", *folders, *units, "-o", str(fresh)]
    _run(*command, *options, *flags, "-lpthread")
    fresh.rename(program)
    return program


def _require(*tools: str) -> str:
    """The path of the last of the tools."""
    paths = [shutil.which(tool) for tool in tools]
    missing = [tool for tool, path in zip(tools, paths, strict=True) if path is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} not found: apt-get install {PACKAGES}")
    return str(paths[-1])


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout
