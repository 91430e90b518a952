"""Bounds on what torch may do while it is only asked what an operator gives.

On `meta` nothing is allocated; still `diff` with `n: 8000` is so many steps. On the CPU, where an
operator goes that cannot tell on `meta`, inputs are small, and what it makes of them need not be:
`bincount` with `minlength: 1000000000000`. Each step is taken off the budget of the check, before
it is taken where its work can be told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch.utils.flop_counter import flop_registry

from netspec.limits import spend
from netspec.ops.torch_internals import DispatchMode, tree_leaves, tree_map, without_modes

MAX_STEPS = 3_000  # of one question, so that one cannot spend all
MAX_WORK = 50_000  # of a question on the CPU whose answer is known but for what a kernel may refuse
MAX_ELEMENTS = 20_000_000  # of one result on the CPU
LARGE = 64  # a number above it may be a count of many steps
LARGE_SIZE = 10_000  # and so may a size

# Work, in the unit of budgets.
_A_STEP = 60
_A_SMALL_STEP = 15  # on the CPU, beside its work
_A_KERNEL = 40  # of a run of the whole model
_A_VIEW = 3
_A_KNOWN_CALL = 10  # whose kernels were run for one that is its equal
_ONCE = {getattr(torch.Tag, name, None) for name in ("pointwise", "reduction", "inplace")}
_ELEMENTS = 800  # that a kernel computes in one unit, if each takes a while
_FLOPS = 4_000


class TooMuch(Exception):
    """An operator would take too many steps, or too much memory, only to be asked."""


class OnMeta(DispatchMode):  # type: ignore[no-untyped-call]
    """Takes the steps of what runs inside off the budget. Raises TooMuch, OutOfWork."""

    price: ClassVar[int] = _A_STEP

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooMuch(f"it takes more than {MAX_STEPS:,} steps")
        spend(self.price)
        return func(*args, **(kwargs or {}))


def spend_step(func: Any, args: Any) -> None:
    """Takes a step of a whole run on `meta` off the budget, before it is taken."""
    spend(_A_KERNEL + _A_VIEW * _most_outputs(func, args))


def spend_known_call() -> None:
    """Takes a call of a whole run off the budget whose kernels need not be run."""
    spend(_A_KNOWN_CALL)


def _most_outputs(func: Any, args: Any) -> int:
    """How many tensors `unbind`, `split` and the like may give of this input."""
    returns = func._schema.returns
    if len(returns) != 1 or str(returns[0].type) != "List[Tensor]" or not args:
        return 0
    sizes = args[0].shape if isinstance(args[0], torch.Tensor) else ()
    parts = [number for number in args[1:] if type(number) is int and number > 0]
    return int(max(sizes, default=0)) // max(parts, default=1)


class OnCpu(OnMeta):  # type: ignore[no-untyped-call]
    """Bounds the memory and the work that each step takes, too. Raises TooMuch, OutOfWork."""

    price: ClassVar[int] = _A_SMALL_STEP

    def __init__(self, most_work: float = math.inf) -> None:
        super().__init__()
        self.left = most_work

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        expected = None if _is_bounded(func, (args, kwargs)) else _on_meta(func, args, kwargs)
        _check_elements(expected)
        work = _work(func, (args, kwargs), expected)
        self.left -= work
        if self.left < 0:
            raise TooMuch("it takes more than as many steps as a question may take")
        spend(work)
        found = super().__torch_dispatch__(func, types, args, kwargs)
        _check_elements(found)
        return found


def _is_bounded(func: Any, given: tuple[Any, Any]) -> bool:
    """Whether a step is known to make little without being asked: pointwise, of small tensors."""
    if torch.Tag.pointwise not in func.tags:
        return False
    sizes = [max(1, tensor.numel()) for tensor in _tensors(given)]
    return bool(sizes) and math.prod(sizes) <= MAX_ELEMENTS


def on_cpu_for_a_while() -> OnCpu:
    """For a question that need not be answered."""
    return OnCpu(MAX_WORK)


def _work(func: Any, given: tuple[Any, Any], expected: object) -> int:
    """About how much a kernel computes: what torch says, or as a product of matrices does.

    A product of m×k and k×n elements takes √(mk·kn·mn) steps, and so about does `cdist`; a
    decomposition of m×n, which torch does not count to its core, takes mn·min(m, n).
    What gives as much as it finds looks at each element once.
    """
    formula = flop_registry.get(func._overloadpacket)
    if formula is not None and expected is not None:
        args, kwargs = given
        return int(formula(*args, **kwargs, out_val=expected)) // _FLOPS
    tensors = [*_tensors((given, expected))]
    all_elements = sum(t.numel() for t in tensors)
    if func.is_view or expected is None or _ONCE & {*func.tags}:
        return all_elements // _ELEMENTS
    factors = sorted((t.numel() for t in tensors if t.dtype.is_floating_point), reverse=True)[:3]
    product = math.isqrt(math.prod(factors)) if len(factors) == 3 else 0
    alone = [*_tensors(given)]
    if len(alone) == 1 and alone[0].dim() > 1 and torch.Tag.core not in func.tags:
        product = max(product, alone[0].numel() * min(alone[0].shape[-2:]))
    return max(product, all_elements) // _ELEMENTS


def _tensors(values: object) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))


def _on_meta(func: Any, args: Any, kwargs: dict[str, Any]) -> object:
    """What a step gives, without its numbers; nothing where they decide, if its own are small."""
    args, kwargs = tree_map(_as_meta, (args, kwargs))
    if any(argument.name == "device" for argument in func._schema.arguments):
        kwargs["device"] = torch.device("meta")
    try:
        with without_modes():
            return func(*args, **kwargs)
    except Exception:  # an operator may refuse in any way
        if any(abs(number) > MAX_ELEMENTS for number in _numbers((args, kwargs))):
            raise TooMuch("one of its numbers is too large to try it") from None
        return None


def _as_meta(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _check_elements(found: object) -> None:
    for tensor in _tensors(found):
        check_count(tensor.numel())


def check_count(elements: int) -> None:
    """Raises TooMuch for more elements than one tensor on the CPU may have."""
    if elements > MAX_ELEMENTS:
        raise TooMuch(f"it makes {elements:,} elements of a small input")


def _numbers(values: object) -> Iterator[int]:
    return (leaf for leaf in tree_leaves(values) if type(leaf) is int)


def is_large(values: Iterable[object]) -> bool:
    """Whether some size or whole number among these is large enough to be a count of steps."""
    for value in values:
        if isinstance(value, torch.Tensor):
            if max(value.shape, default=0) > LARGE_SIZE:
                return True
        elif isinstance(value, (tuple, list)):
            if is_large(value):
                return True
        elif type(value) is int and abs(value) > LARGE:
            return True
    return False
