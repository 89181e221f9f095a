"""The files of a trained network, and the network from its files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from inspection.contract import Contract
from store import tables
from store.artifacts import Artifact
from store.keys import LineKey
from store.root import Store
from vision_assets.learning import backbone
from vision_assets.learning.registry import task

WEIGHTS = "weights.safetensors"
CONTRACT = "contract.json"
_BACKBONE = "backbone"
_LENGTH_BYTES = 8


def pack(weights: Mapping[str, Tensor], spec: backbone.BackboneSpec) -> bytes:
    """Weights and what it takes to build the network again, as one safetensors file."""
    # Written row by row: how the tensors lie in memory is a matter of the device.
    plain = {name: value.contiguous() for name, value in weights.items()}
    return save(plain, metadata={_BACKBONE: spec.model_dump_json()})


def contract_of(store: Store, line: LineKey, model: Artifact) -> Contract:
    """The contract of a model."""
    return Contract.model_validate_json(tables.read_verified(store, model.file(CONTRACT)))


def load_graph(store: Store, line: LineKey, model: Artifact) -> nn.Module:
    """The module that is exported, in eval mode, with the model's weights.

    It takes (N, height, width, channels) uint8 and gives a tuple in the order of ``OUTPUT_NAMES``.
    """
    contract = Contract.model_validate_json(tables.read_verified(store, model.file(CONTRACT)))
    data = tables.read_verified(store, model.file(WEIGHTS))
    spec = backbone.BackboneSpec.model_validate_json(_metadata(data)[_BACKBONE])
    chosen = task(contract.task)
    body = backbone.build(spec, contract.input.height, contract.input.width)
    network = chosen.network(body, contract.classes)
    network.load_state_dict(load(data))
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return chosen.graph(network).eval().requires_grad_(False)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: its header is JSON after a length of eight bytes."""
    (length,) = struct.unpack("<Q", data[:_LENGTH_BYTES])
    header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    found: dict[str, str] = header["__metadata__"]
    return found
