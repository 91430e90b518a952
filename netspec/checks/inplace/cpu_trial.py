"""One call tried in place and out of place on the CPU: is it refused, and is all of it equal?

The call's own modes and arguments, on random values; where its input is a part of some memory, so
it is here. Remembered by what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netspec.caches import Cache
from netspec.checks.inplace.nested import replaced, tensors_in
from netspec.checks.inplace.region import Region, region_of
from netspec.ops import registry
from netspec.ops.overwriting import Pair
from netspec.ops.process_state import own_random_state
from netspec.ops.torch_internals import is_one_of_several
from netspec.ops.types import memo_key
from netspec.ops.values import fact_of

_MOST = 4_000_000  # elements of a storage that is tried at its own size
_TINY = 5  # the largest size of a dimension where sizes don't matter
_BATCH = 64  # of the first one: of a few numbers the last bits may happen to be equal
_SEED = 0
_MOST_REMEMBERED = 2_000
_SCALES = (0.3, 3.0)  # each value is tried near zero and far from it


@dataclass(frozen=True, slots=True)
class Trial:
    """`refusal` is torch's, in the forward or the backward pass. `keeps` its result for backward;
    `copies`: autograd keeps a copy of what is overwritten, so that nothing is saved by it.
    `writes` is False for what takes `inplace` and does not heed it, as `nn.AlphaDropout`.
    """

    refusal: str | None = None
    equal: bool = True
    equal_gradient: bool = True
    keeps: bool = False
    copies: bool = False
    writes: bool = True


_trials: Cache[object, Trial] = Cache(_MOST_REMEMBERED)


def try_in_place(pair: Pair, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Trial:
    """The trial of a call with these `meta` tensors, as they stand in a graph of autograd."""
    refusal = refusal_of_part(args[0], lambda part: pair.inside(part, *args[1:], **kwargs))
    if refusal is not None:
        return Trial(refusal)
    tensors = list(tensors_in((*args, *kwargs.values())))
    into = tensors[0]
    alone = len(tensors) == 1
    if alone and region_of(into).is_dense:
        return _remembered(pair, args, kwargs, [_tiny(into)])
    if sum(_elements_of_storage(t) for t in tensors) > _MOST:
        return _remembered(pair, args, kwargs, tensors, shrunk=True)
    return _remembered(pair, args, kwargs, tensors)


def _tiny(tensor: torch.Tensor) -> torch.Tensor:
    """A rather small dense tensor whose dimensions lie in memory in the same order."""
    size = [min(size, _TINY) for size in tensor.shape]
    if size and size[0] > 1:
        size[0] = _BATCH
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda i: (-strides[i], i))
    return torch.empty_permuted(size, order, dtype=tensor.dtype, device=tensor.device)


def refusal_of_part(
    tensor: torch.Tensor, overwrite: Callable[[torch.Tensor], object] = torch.Tensor.zero_
) -> str | None:
    """What torch says of overwriting one of several views that one call gave, as `chunk` does.

    Any other tensor is left alone: autograd would take it for what was overwritten.
    """
    if not is_one_of_several(tensor):
        return None
    try:
        overwrite(tensor)
    except NotImplementedError:  # no kernel on `meta`
        return None
    except RuntimeError as error:
        return _first_sentence(error)
    return None


def _first_sentence(error: RuntimeError) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")


def _remembered(
    pair: Pair,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    tensors: Sequence[torch.Tensor],
    shrunk: bool = False,
) -> Trial:
    layout = tuple((region_of(t), t.dtype, _number(t, tensors)) for t in tensors)
    mode = pair.inside.training if isinstance(pair.inside, nn.Module) else None
    words = pair.inside.extra_repr() if isinstance(pair.inside, nn.Module) else ""
    others = memo_key(tuple(fact_of(v) for v in (*args[1:], *kwargs.items())))
    key = (pair.name, registry.of_target(pair.inside), words, mode, layout, others)
    known = _trials.get(key)
    if known is not None:
        return known
    found = _shrunk(pair, args, kwargs) if shrunk else _try(pair, args, kwargs, tensors)
    if registry.of_target(type(pair.inside)) is None:  # what its words leave out, nobody knows
        _trials.keep(key, found)
    return found


def _shrunk(pair: Pair, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Trial:
    """Of storages too large to try: the same call on tensors of a few dense elements."""
    into = args[0]
    if region_of(into).overlaps_itself:
        return Trial("more than one element of it is at one place in memory")
    small = [t.new_empty(tuple(min(n, _TINY) for n in t.shape)) for t in tensors_in((*args,))]
    return _try(pair, args, kwargs, small)


def _number(tensor: torch.Tensor, among: Sequence[torch.Tensor]) -> int:
    """The first of them that shares the tensor's storage."""
    memory = tensor.untyped_storage()._cdata
    return next(i for i, t in enumerate(among) if t.untyped_storage()._cdata == memory)


def _elements_of_storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)


@dataclass(frozen=True, slots=True)
class _Ran:
    refusal: str | None = None
    result: torch.Tensor | None = None
    gradients: tuple[torch.Tensor | None, ...] = ()
    keeps: bool = False
    kept: int = 0
    writes: bool = True


def _try(
    pair: Pair, args: Sequence[Any], kwargs: Mapping[str, Any], tensors: Sequence[torch.Tensor]
) -> Trial:
    trials = [_try_at(pair, args, kwargs, tensors, scale) for scale in _SCALES]
    worst = next((t for t in trials if t.refusal), trials[0])
    return Trial(
        worst.refusal,
        all(t.equal for t in trials),
        all(t.equal_gradient for t in trials),
        worst.keeps,
        worst.copies,
        worst.writes,
    )


def _try_at(
    pair: Pair,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    tensors: Sequence[torch.Tensor],
    scale: float,
) -> Trial:
    apart = _run(pair.outside, args, kwargs, tensors, scale)
    inside = _run(pair.inside, args, kwargs, tensors, scale)
    if apart.refusal is not None and inside.refusal in (None, apart.refusal):
        return Trial()  # the run on `meta` says what is wrong with it
    if inside.refusal is not None:
        return Trial(inside.refusal)
    assert apart.result is not None and inside.result is not None
    if apart.result.dtype != inside.result.dtype:
        return Trial(f"in place it gives {inside.result.dtype}, not {apart.result.dtype}")
    pairs = list(zip(apart.gradients, inside.gradients, strict=True))
    if not all(_close(a, b) for a, b in pairs):
        return Trial("its gradient in place is another")
    return Trial(
        None,
        _same(apart.result, inside.result),
        all(_same(a, b) for a, b in pairs) and _lie_alike(apart.result, inside.result),
        inside.keeps,
        inside.kept > apart.kept or (apart.kept == inside.kept > 0 and not inside.keeps),
        inside.writes,
    )


def _run(
    target: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    tensors: Sequence[torch.Tensor],
    scale: float,
) -> _Ran:
    """The call on CPU tensors that lie in memory as these do, each storage a value of a graph."""
    with own_random_state():
        torch.default_generator.manual_seed(_SEED)  # not the devices too, as torch.manual_seed
        leaves: list[torch.Tensor] = []
        made: list[torch.Tensor] = []
        bases: dict[int, torch.Tensor] = {}
        for number, tensor in enumerate(tensors):
            first = _number(tensor, tensors)
            if first not in bases:
                shared = any(_number(t, tensors) == number for t in tensors if t is not tensor)
                leaf = _random(tensor, not shared, scale)
                leaves.append(leaf)
                bases[first] = leaf * 1 if leaf.requires_grad else leaf.clone()
            made.append(_placed(bases[first], region_of(tensor)))
        version = made[0]._version
        given = iter(made)
        positional, named = replaced(tuple(args), given), replaced(dict(kwargs), given)
        saved: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
            memory = tensor.untyped_storage()
            saved[memory._cdata] = memory
            return tensor, tensor._version

        try:
            with torch.autograd.graph.saved_tensors_hooks(keep, _as_it_was):
                result = target(*positional, **named)
            kept = len(saved)
            keeps = result.untyped_storage()._cdata in saved
            gradients = _gradients(result, leaves)
        except RuntimeError as error:
            return _Ran(_first_sentence(error))
        return _Ran(None, result.detach(), gradients, keeps, kept, made[0]._version > version)


def _as_it_was(kept: tuple[torch.Tensor, int]) -> torch.Tensor:
    """What autograd kept. Behind hooks it does not ask by itself whether that was overwritten."""
    tensor, version = kept
    if tensor._version != version:
        raise RuntimeError("it keeps for the backward pass what it overwrites")
    return tensor


def _gradients(
    result: torch.Tensor, leaves: Sequence[torch.Tensor]
) -> tuple[torch.Tensor | None, ...]:
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not wanted or not result.requires_grad:
        return ()
    spread = torch.randn(*result.shape, 2, dtype=result.dtype)[..., 0]  # a kernel of its own
    return torch.autograd.grad(result, wanted, spread, allow_unused=True)


def _random(like: torch.Tensor, alone: bool, scale: float) -> torch.Tensor:
    """Random values, some of them zero: of this shape, or for the whole of its storage."""
    shape: tuple[int, ...] = tuple(like.shape)
    if not alone or not like.is_contiguous():
        region = region_of(like)
        reach = region.bounds[1] // max(region.width, 1) if region.elements else 0
        shape = (max(reach, min(_elements_of_storage(like), _MOST)),)
    if not (like.is_floating_point() or like.is_complex()):
        return torch.randint(0, 2, shape).to(like.dtype)
    wide = torch.float64 if like.dtype is torch.float64 else torch.float32
    values = torch.randn(shape, dtype=wide) * scale
    values.view(-1)[::7] = 0.0
    return values.to(like.dtype).requires_grad_()


def _placed(base: torch.Tensor, region: Region) -> torch.Tensor:
    if base.shape == region.shape and base.stride() == region.stride:
        return base
    return base.as_strided(region.shape, region.stride, region.offset)


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(_numbers(one), _numbers(other))


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """All of its bits, so that NaN is equal to NaN."""
    return torch.nan_to_num(torch.view_as_real(tensor) if tensor.is_complex() else tensor)


def _lie_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they lie in memory alike: if not, what is computed with them adds up otherwise."""
    return all(
        size < 2 or a == b
        for size, a, b in zip(one.shape, one.stride(), other.stride(), strict=True)
    )


def _close(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)
