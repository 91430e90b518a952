"""What an evaluation is asked for: a checkpoint, or a spec with weights and data, and not both."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.settings import (
    ActSettings,
    EvalActSettings,
    EvalSettings,
    Settings,
    TrainerSettings,
    place_of,
)
from netspec.run.terminal import called


def as_run(settings: EvalSettings) -> Settings:
    """The run whose model, data, loss and metrics these are. Raises RunError (NS702)."""
    model, data = settings.model or {}, settings.data or {}
    if "spec" not in model and settings.weights.file is None:
        help = f"{called('eval')} checkpoint=outputs/…, a run's folder or a .safetensors file; "
        help += "or model=… weights=… data=…"
        raise RunError(_missing("no checkpoint is named", help))
    if "spec" not in model:
        raise RunError(_missing("weights need a spec, and none is named", "model=…"))
    if settings.weights.file is None:
        raise RunError(_missing("a spec needs weights, and none are named", "weights=FILE"))
    if "source" not in data:
        raise RunError(_missing("weights do not tell on what they were trained", "data=…"))
    act = settings.act or EvalActSettings()
    return Settings(
        model=dict(model),
        act=ActSettings(form=act.form or "module", fn=act.fn),
        data=dict(data),
        loss={},
        optimizer={},
        scheduler={},
        trainer=TrainerSettings(max_epochs=1),
        precision=settings.precision or "32-true",
    )


def _missing(fact: str, help: str) -> Diagnostic:
    return Diagnostic("NS702", fact, Span.whole("command line"), help=help)


def refuse_both(settings: EvalSettings, overrides: Sequence[str]) -> None:
    """Raises RunError (NS702) where a checkpoint is given a spec or weights beside its own."""
    for key, given in (("model", settings.model), ("weights.file", settings.weights.file)):
        if given is not None:
            fact = "a checkpoint has a spec and weights of its own"
            help = "leave out `checkpoint`, or what takes the place of its parts"
            raise RunError(Diagnostic("NS702", fact, place_of(key, overrides), help=help))
