"""What a network is valid for, as lines and as plain values."""

from __future__ import annotations

from netspec.sizes.constraints import Constraint
from netspec.sizes.find import Sizes, Tried

_HEADER = "valid for"


def sizes_text(sizes: Sizes) -> str:
    """The last part of `netspec show`: a line for each constraint."""
    if not sizes.free:
        return ""
    lines = [one.line for one in sizes.constraints]
    bound = {name for one in sizes.constraints for name in one.names}
    unbound = [name for name in sizes.free if name not in bound]
    if unbound and not sizes.open:
        lines.append(f"{', '.join(unbound)}: any")
    lines += [f"not proved, tried at many sizes: {one.source.text}" for one in sizes.tried]
    if sizes.open:
        lines.append(sizes.open)
    return "\n".join([_HEADER, *[f"  {line}" for line in lines]]) + "\n"


def sizes_json(sizes: Sizes) -> dict[str, object]:
    """The same as plain values."""
    return {
        "free": list(sizes.free),
        "output": sizes.text(sizes.output),
        "constraints": [_constraint(one) for one in sizes.constraints],
        "tried": [_tried(one) for one in sizes.tried],
        "open": sizes.open or None,
    }


def _constraint(one: Constraint) -> dict[str, object]:
    return {
        "sizes": list(one.names),
        "text": f"{', '.join(one.sizes)}: {one.text}" if one.sizes else one.text,
        "mode": one.mode or None,
        "outside": "fails" if one.fails else "other sizes",
        "stated": one.stated,
        "layers": [
            {
                "path": source.path,
                "file": source.place.file if source.place else None,
                "line": source.place.line if source.place else None,
            }
            for source in one.sources
        ],
    }


def _tried(one: Tried) -> dict[str, object]:
    place = one.source.place
    return {
        "path": one.source.path,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "reason": one.reason,
    }
