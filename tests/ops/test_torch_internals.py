"""Each name that torch keeps to itself is there, and does what netspec takes it for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from netspec.ops import torch_internals as internals


def test_tree_functions() -> None:
    nested = {"a": [1, (2, 3)], "b": None}
    leaves, structure = internals.tree_flatten(nested)
    assert leaves == internals.tree_leaves(nested) == [1, 2, 3, None]
    assert internals.tree_unflatten(leaves, structure) == nested
    assert internals.tree_map(str, [1, (2,)]) == ["1", ("2",)]


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("ConvNd", nn.Conv2d),
        ("ConvNd", nn.ConvTranspose3d),
        ("ConvTransposeNd", nn.ConvTranspose1d),
        ("NormBase", nn.BatchNorm2d),
        ("NormBase", nn.InstanceNorm1d),
        ("CircularPadNd", nn.CircularPad2d),
    ],
)
def test_base_class(base: str, kind: type[nn.Module]) -> None:
    assert issubclass(kind, getattr(internals, base))


def test_boolean_dispatched() -> None:
    assert nn.functional.max_pool2d in internals.boolean_dispatched


def test_schemas_for() -> None:
    assert {schema.overload_name for schema in internals.schemas_for("relu")} >= {"", "out"}
    assert internals.schemas_for("no_such_operator") == []


def test_is_one_of_several() -> None:
    x = torch.ones(4, requires_grad=True) * 1
    one, other = x.split(2)
    assert internals.is_one_of_several(one) and internals.is_one_of_several(other.view(1, 2))
    assert not internals.is_one_of_several(x) and not internals.is_one_of_several(x[:2])


class Seen(internals.DispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.kernels.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("without", [internals.without_modes, internals.without_dispatch])
def test_a_mode_sees_kernels_but_where_there_is_none(without) -> None:  # type: ignore[no-untyped-def]
    with Seen() as seen:
        torch.ones(2) + 1
        before = len(seen.kernels)
        with without():
            torch.ones(2) + 1
    assert before == len(seen.kernels) == 2


def test_without_functions() -> None:
    seen: list[object] = []

    class Functions(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(func)
            return func(*args, **(kwargs or {}))

    with Functions():
        with internals.without_functions():
            torch.ones(2)
        assert seen == []
        torch.ones(2)
    assert len(seen) == 1


def test_the_first_check_of_a_process_does_not_import_dynamo() -> None:
    """It takes a second; torch does so for modes of kernels, and for many a decomposition."""
    code = (
        "import sys, netspec\n"
        "for name in ('lenet', 'resnet18', 'gpt2', 'efficientnet_b0', 'lstm_lm'):\n"
        "    netspec.check(name)\n"
        "assert 'torch._decomp' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_import_dynamo_late() -> None:
    """Facts are computed without it; behind its import torch keeps what it wants out of traces."""
    code = (
        "import sys, torch\n"
        "from netspec.ops.torch_internals import import_dynamo_late\n"
        "import_dynamo_late()\n"
        "kept_out = torch._refs.exp\n"
        "while not hasattr(kept_out, '__dynamo_disable'):\n"
        "    around = [cell.cell_contents for cell in kept_out.__closure__]\n"
        "    kept_out = next(each for each in around if isinstance(each, type(lambda: 0)))\n"
        "x = torch.empty(2, device='meta')\n"
        "ours = kept_out.__dynamo_disable\n"
        "assert torch._refs.exp(x).shape == (2,)\n"
        "assert kept_out.__dynamo_disable is ours and 'torch._dynamo' not in sys.modules\n"
        "import torch._dynamo\n"
        "assert torch._refs.exp(x).shape == (2,)\n"
        "assert kept_out.__dynamo_disable is not ours\n"
        "assert kept_out.__dynamo_disable._torchdynamo_disable\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_symbolic_sizes() -> None:
    symbolic = internals.SymbolicSizes()
    size = symbolic.size("s0", 12)
    with symbolic.mode():
        x = torch.empty((size, 2), device="meta")
        y = x.reshape(-1, 6)
    assert str(internals.sympy_of(x.shape[0])) in str(internals.sympy_of(y.shape[0]))
    assert internals.sympy_of(2) == 2
    assert any("Mod" in str(one) or "//" in str(one) for one in symbolic.assumed())


def test_a_symbol_may_be_one() -> None:
    symbolic = internals.SymbolicSizes()
    with symbolic.mode():
        x = torch.empty((symbolic.size("s0", 1),), device="meta")
    assert symbolic.assumed() == [] and isinstance(x.shape[0], torch.SymInt)


def test_fakes_fail_quietly(caplog: pytest.LogCaptureFixture) -> None:
    symbolic = internals.SymbolicSizes()
    with symbolic.mode(), internals.quiet_fakes():
        x = torch.empty((symbolic.size("s0", 5),), device="meta")
        with pytest.raises(Exception, match="symbolic"):
            torch.nn.functional.pad(x, (-1, -1))
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
