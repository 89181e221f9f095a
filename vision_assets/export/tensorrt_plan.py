"""TensorRT plans from a bundle's graphs, written against what TensorRT 10, 11 and RTX share.

Networks are strongly typed and there is no calibrator: INT8 comes from the QDQ graph. TensorRT-RTX
builds ahead of time for named compute capabilities and needs no GPU for it; TensorRT builds for the
GPU it runs on. Plans are attachments of a bundle: made when asked for, of use to one version of the
library, and allowed to answer only after parity was measured on such a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from inspection import bundle as bundles
from store import artifacts, tables
from store.errors import InvalidInput, Unavailable
from store.keys import LineKey
from store.root import Store
from vision_assets.progress import Progress, silent

LIBRARIES = ("tensorrt", "tensorrt_rtx")
RTX = "tensorrt_rtx"
GRAPHS = (bundles.GRAPH, bundles.GRAPH_S8S8)
_CAPABILITY = re.compile(r"sm\d{2,3}")


@dataclass(frozen=True)
class PlanSettings:
    """What a plan is built for.

    Attributes:
        capabilities: Compute capabilities, such as ``sm86``. With TensorRT exactly that of the GPU
            here; with TensorRT-RTX any that it knows.
        least: Smallest N.
        usual: The N that is made fastest.
        most: Largest N.
        workspace_bytes: Most device memory a layer may use to work in.
    """

    capabilities: tuple[str, ...]
    least: int = 1
    usual: int = 1
    most: int = 16
    workspace_bytes: int = 2**30

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise InvalidInput(
                f"a plan needs 1 <= least <= usual <= most frames, found {self.least}, "
                f"{self.usual}, {self.most}"
            )
        wrong = [name for name in self.capabilities if not _CAPABILITY.fullmatch(name)]
        if wrong or not self.capabilities:
            raise InvalidInput(
                f"compute capabilities read like sm86, found {wrong or 'none'}; "
                "`nvidia-smi --query-gpu=compute_cap` tells 8.6 for sm86"
            )


@dataclass(frozen=True)
class Plan:
    """A serialised engine, and the library that alone can load it."""

    library: str
    version: str
    data: bytes


def attach_plans(
    store: Store, line: LineKey, name: str, settings: PlanSettings, progress: Progress = silent
) -> list[str]:
    """Build plans of a bundle's float and symmetric INT8 graphs and attach them.

    A plan that is attached already is not built again.

    Returns:
        The names of the attachments.

    Raises:
        NotFound: when the line has no such bundle.
        Unavailable: when no TensorRT is installed or it cannot build here.
        InvalidInput: when it cannot build a graph; the message holds all it said.
    """
    bundle = artifacts.read(store, line, bundles.KIND, name)
    attached = artifacts.attachments(store, line, bundles.KIND, name)
    library = open_library()
    graphs = [graph for graph in GRAPHS if graph in bundle.files]
    names = [
        bundles.plan_name(graph, library.__name__, library.__version__, settings.capabilities)
        for graph in graphs
    ]
    for done, (graph, plan) in enumerate(zip(graphs, names, strict=True)):
        progress(f"building the plan of {graph}", done, len(graphs))
        if plan not in attached:
            data = tables.read_verified(store, bundle.file(graph))
            files = {plan: build_plan(data, settings).data}
            artifacts.attach(store, line, bundles.KIND, name, files)
    progress("building plans", len(graphs), len(graphs))
    return names


def build_plan(graph: bytes, settings: PlanSettings) -> Plan:
    """A plan of one graph.

    Raises:
        Unavailable: when no TensorRT is installed or it cannot build here.
        InvalidInput: when it cannot build the graph; the message holds all it said.
    """
    trt = open_library()
    log = _log(trt)
    builder = _builder(trt, log)
    network = _parse(trt, builder, graph, log)
    config = _configure(trt, builder, network, settings)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InvalidInput.listing(f"{trt.__name__} cannot build the graph:", log.said, most=1000)
    return Plan(trt.__name__, trt.__version__, bytes(plan))


def open_library() -> ModuleType | Any:  # noqa: ANN401 (it has no types)
    """The TensorRT that is installed.

    Raises:
        Unavailable: when there is none.
    """
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise Unavailable(
        "no TensorRT is installed: `pip install '.[trt-rtx]'` in a clone, or [trt] on a machine "
        "with a GPU"
    )


def _log(trt: Any) -> Any:  # noqa: ANN401
    """A logger that keeps warnings and errors for the message instead of printing them."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, text: str) -> None:  # noqa: ANN401
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR, trt.ILogger.WARNING):
                self.said.append(text)

    return Log()


def _builder(trt: Any, log: Any) -> Any:  # noqa: ANN401
    try:
        builder = trt.Builder(log)
    except (RuntimeError, TypeError) as error:
        raise Unavailable(f"{trt.__name__} does not start here: {error}") from error
    if builder is None:
        said = "; ".join(log.said)
        raise Unavailable(f"{trt.__name__} does not start here, it needs a GPU driver: {said}")
    return builder


def _parse(trt: Any, builder: Any, graph: bytes, log: Any) -> Any:  # noqa: ANN401
    # TensorRT 10 asks for strong typing; 11 and RTX know nothing else and may drop the flag.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        errors = [_error(parser.get_error(index)) for index in range(parser.num_errors)]
        raise InvalidInput.listing(f"{trt.__name__} cannot read the graph:", errors, most=1000)
    return network


def _error(error: Any) -> str:  # noqa: ANN401
    return f"node {error.node()} ({error.node_name()}, {error.node_operator()}): {error.desc()}"


def _configure(trt: Any, builder: Any, network: Any, settings: PlanSettings) -> Any:  # noqa: ANN401
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    # TF32 keeps 10 bits of float32's 23; a verdict near a threshold would not be torch's.
    config.clear_flag(trt.BuilderFlag.TF32)
    pixels = network.get_input(0)
    shape = tuple(pixels.shape)[1:]
    profile = builder.create_optimization_profile()
    sizes = (settings.least, settings.usual, settings.most)
    profile.set_shape(pixels.name, *((size, *shape) for size in sizes))
    config.add_optimization_profile(profile)
    if trt.__name__ == RTX:
        _target(trt, config, settings.capabilities)
    return config


def _target(trt: Any, config: Any, capabilities: Sequence[str]) -> None:  # noqa: ANN401
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    config.num_compute_capabilities = len(capabilities)
    for index, name in enumerate(capabilities):
        if name.upper() not in known:
            raise InvalidInput(
                f"{trt.__name__} {trt.__version__} does not build for {name}; it does for "
                f"{', '.join(known).lower()}"
            )
        config.set_compute_capability(getattr(trt.ComputeCapability, name.upper()), index)
