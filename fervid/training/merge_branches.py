"""Merging two branches of a network that have the same operations into one branch with twice the channels.

A small convolution costs onnxruntime less time than the call of it. So half as many convolutions with two groups are
faster than those of both branches one after another, and compute the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.errors import BadWeights

Arrays = dict[str, npt.NDArray[Any]]
"""The constants of a graph by name."""


def merge_branches(
    onnx: Any, nodes: Sequence[Any], arrays: Arrays, ends: tuple[str, str], output: str
) -> tuple[list[Any], Arrays]:
    """Merge the two branches that end in two convolutions.

    Args:
        onnx: The package ``onnx``.
        nodes: NodeProto messages in topological order. After the fork there are only convolutions with biases,
            parametric ReLUs, sums, pools, and what follows the ends, which is left out.
        arrays: Their constants. Kernels are (out, in, height, width), slopes (channels, 1, 1).
        ends: Outputs of the last convolution of each branch.
        output: Name for their outputs side by side, of shape (n, channels, height, width).

    Returns:
        The nodes, and the constants that they need.

    Raises:
        BadWeights: The branches differ.
    """
    made, fork = {node.output[0]: node for node in nodes}, _fork(nodes)
    sides = [list(_before(end, fork, made, nodes)) for end in ends]
    if [node.op_type for node in sides[0]] != [node.op_type for node in sides[1]]:
        raise BadWeights("the branches of the network differ")
    begin = min(nodes.index(side[0]) for side in sides)
    merged, kept = [*nodes[:begin]], dict(arrays)
    both = {fork: f"{fork}_twice"}
    merged.append(onnx.helper.make_node("Concat", [fork, fork], [both[fork]], axis=1))
    for pair in zip(*sides, strict=True):
        first, name = pair[0], output if pair[0].output[0] == ends[0] else f"{pair[0].output[0]}_twice"
        settings = {one.name: onnx.helper.get_attribute_value(one) for one in first.attribute}
        if first.op_type == "Conv":
            kernels = [arrays[node.input[1]] for node in pair]
            given = fork if first.input[0] == fork else both[first.input[0]]
            kept[f"{name}_kernel"], settings["group"] = _side_by_side(kernels, settings["group"], given == fork)
            kept[f"{name}_bias"] = np.concatenate([arrays[node.input[2]] for node in pair])
            inputs = [given, f"{name}_kernel", f"{name}_bias"]
        elif first.op_type == "PRelu":
            kept[f"{name}_slopes"] = np.concatenate([arrays[node.input[1]] for node in pair])
            inputs = [both[first.input[0]], f"{name}_slopes"]
        else:
            inputs = [both[one] for one in first.input]
        merged.append(onnx.helper.make_node(first.op_type, inputs, [name], **settings))
        both[first.output[0]] = name
    needed = {name for node in merged for name in node.input}
    return merged, {name: values for name, values in kept.items() if name in needed}


def _fork(nodes: Sequence[Any]) -> str:
    """The only tensor that two convolutions take."""
    given = [node.input[0] for node in nodes if node.op_type == "Conv"]
    forks = sorted({name for name in given if given.count(name) == 2})
    if len(forks) != 1:
        raise BadWeights("the network does not fork once")
    return str(forks[0])


def _before(end: str, fork: str, made: dict[str, Any], nodes: Sequence[Any]) -> Iterator[Any]:
    """The nodes from the fork to the end of a branch."""
    needed = {end}
    for node in reversed(nodes):
        if node.output[0] in needed and node is not made[fork]:
            needed |= {name for name in node.input if name in made and name != fork}
    inside = needed - {fork}
    yield from (node for node in nodes if node.output[0] in inside)


def _side_by_side(kernels: list[npt.NDArray[Any]], groups: int, shared: bool) -> tuple[npt.NDArray[Any], int]:
    """The kernel that computes both branches, and its number of groups. ``shared``: both have the same input."""
    if shared:
        return np.concatenate(kernels), groups
    if len(kernels[0]) == len(kernels[1]):
        return np.concatenate(kernels), 2 * groups
    first, second = (kernel.shape for kernel in kernels)  # groups must be equal, so each branch ignores the other
    whole = np.zeros((first[0] + second[0], first[1] + second[1], *first[2:]), kernels[0].dtype)
    whole[: first[0], : first[1]], whole[first[0] :, first[1] :] = kernels
    return whole, 1
