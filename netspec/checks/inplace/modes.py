"""What torch runs, told to a recorder: each kernel, and each function whose kernels differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch.overrides import TorchFunctionMode

from netspec.ops.execution_limits import spend_step
from netspec.ops.kernel_differences import OTHER_KERNELS
from netspec.ops.torch_internals import DispatchMode, without_functions


class Watch(Protocol):
    """Who is told. `function` is the name of what torch runs now."""

    paused: bool
    function: str

    def kernel(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any) -> None:
        """A kernel was run, and gave this."""

    def read_and_save(self, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any) -> None:
        """A function was run whose kernels may read and keep all that they are given."""


class Kernels(DispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorder: Watch) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        spend_step(func, args)
        value = func(*args, **named)
        if not self.recorder.paused:
            with without_functions():  # a mode of functions sees each `shape` else
                self.recorder.kernel(func, args, named, value)
        return value


class Functions(TorchFunctionMode):
    """Sees attention and RNNs before they fall apart: their kernels differ from `meta`'s."""

    def __init__(self, recorder: Watch) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        name = self.recorder.function = getattr(func, "__name__", "")
        value = func(*args, **named)
        self.recorder.function = ""
        if name in OTHER_KERNELS and not self.recorder.paused:
            self.recorder.read_and_save(args, named, value)
        return value
