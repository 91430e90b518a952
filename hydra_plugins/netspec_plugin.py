"""What Hydra finds of netspec: the group `model`, and the sweeper that checks before it starts.

Hydra imports every plugin in every application, so nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="netspec",
    node={
        "_target_": "hydra_plugins.netspec_plugin.CheckedSweeper",
        "max_batch_size": None,
        "params": None,
    },
    provider="netspec",
)


class SpecSource(ConfigSource):
    """The group `model`: every option is a spec's name or path, and no spec is opened for it. And
    options of the group `data` that Python code registered.

    Hydra gets `{spec: NAME}` and nothing that is in the file, so that no header, defaults list or
    interpolation in a spec can reach the configuration. The node is open: what overrides say of the
    spec is gathered in it, and read by netspec.
    """

    @staticmethod
    def scheme() -> str:
        return "netspec"

    def load_config(self, config_path: str) -> ConfigResult:
        registered = _registered_data(config_path)
        if registered is not None:
            config = OmegaConf.create(registered)
        else:
            config = OmegaConf.create({"spec": config_path.removeprefix("model/")})
            OmegaConf.set_struct(config, False)
        return ConfigResult(
            self.provider, f"netspec://{self.path}", config, header={"package": None}
        )

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") == "model"

    def is_config(self, config_path: str) -> bool:
        if config_path.startswith("data/"):
            return _registered_data(config_path) is not None
        return config_path.startswith("model/") and config_path != "model/"

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path.strip("/") == "" and results_filter != ObjectType.CONFIG:
            return ["model"]
        if config_path.strip("/") == "model" and results_filter != ObjectType.GROUP:
            from netspec.find import spec_names

            return spec_names()
        return []


def _registered_data(config_path: str) -> dict[str, Any] | None:
    """The options of data that is registered, with their defaults; None where there is none."""
    if not config_path.startswith("data/"):
        return None
    from netspec import data_registry

    name = config_path.removeprefix("data/")
    found = data_registry.find_loaded(name)
    if found is None:
        return None
    fields = found.options.model_fields.items()
    return {"source": name, **{key: field.default for key, field in fields if key != "source"}}


class CheckedSweeper(Sweeper):
    """Hydra's basic sweeper, which first checks every point; the work is in netspec.run.sweep."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}
        self.setting: dict[str, Any] = {}

    def setup(self, **setting: Any) -> None:
        """Keeps `hydra_context`, `task_function` and `config` for the sweep."""
        self.setting = setting

    def sweep(self, arguments: list[str]) -> Any:
        from netspec.run.sweep import sweep

        given = [f"{key}={value}" for key, value in self.params.items()]
        return sweep([*given, *arguments], self.max_batch_size, **self.setting)
