"""The layers of an inline group have the paths that their modules have."""

from __future__ import annotations

import pytest

import netspec

TEXT = """\
netspec: 1
inputs: {x: [N, 3, 8, 8]}
layers:
  features:
    layers:
      - as: inline
        repeat: 2
        layers:
          - {module: Conv2d, out_channels: 4, kernel_size: 3}
          - {module: BatchNorm2d, when: false}
          - {act: relu}
      - {call: flatten, start_dim: 1}
  skipped:
    layers:
      - {module: Dropout, when: false}
      - {module: Linear, out_features: 2}
"""


def test_paths_and_edges() -> None:
    found = netspec.analyse(TEXT, path="a.yaml")
    assert [node.path for node in found.nodes if node.state != "absent"] == [
        "x", "features", "features.0", "features.1", "features.2", "features.3", "features.4",
        "skipped", "skipped.0",
    ]  # fmt: skip
    edges = {(edge.source, edge.target) for edge in found.edges}
    assert {("features.1", "features.2"), ("features.3", "features.4")} <= edges
    assert found.by_path["features.2"].parameters[0].shape == (4, 4, 3, 3)
    assert found.by_path["skipped.0"].operation == "Linear"


@pytest.mark.parametrize("spec", ["vgg11", "swin_t", "densenet121", "mobilenet_v2"])
def test_each_key_is_of_a_layer_that_has_it(spec: str) -> None:
    found = netspec.analyse(spec)
    for key in found.tensors:
        owner = key if key in found.by_path else found.around(key)
        assert owner and not found.children.get(owner), key


def test_what_layers_call() -> None:
    found = netspec.analyse(TEXT, path="a.yaml")
    conv = found.calls["features.2"]
    assert (conv.target, dict(conv.arguments)) == (
        "nn.Conv2d", {"in_channels": "4", "out_channels": "4", "kernel_size": "3"},
    )  # fmt: skip
    assert conv.inferred == {"in_channels"} and conv.defaults["stride"] == "1"
    assert found.calls["features.4"].arguments == {"start_dim": "1"}
    both = netspec.analyse(TEXT + "outputs: [skipped, features]\n", path="a.yaml")
    assert both.calls["(outputs)"].reads == ("skipped", "features")
    assert both.calls["skipped"].reads == ("features",)
    assert netspec.analyse(TEXT.replace("Linear", "Linea"), path="a.yaml").calls == {}
