"""A composed configuration as YAML, character by character as OmegaConf writes it; by libyaml where PyYAML has it."""

from typing import Any

import yaml
from omegaconf._utils import OmegaConfDumper

from record.by_content import by_content

_BASE: type[yaml.Dumper] = getattr(yaml, "CDumper", yaml.Dumper)
"""Five times as fast as the one in Python: a sweep writes a configuration a run."""
_DUMPER: type[yaml.Dumper] = type("_Dumper", (_BASE,), {})
_DUMPER.add_representer(str, OmegaConfDumper.str_representer)


def as_yaml(content: dict[str, Any] | list[str]) -> str:
    """The same as `OmegaConf.to_yaml` of it.

    Args:
        content: what `OmegaConf.to_container` gives.
    """
    if not isinstance(content, dict) or not content:
        return _dumped(content)
    return "".join(_section({key: value}) for key, value in content.items())


@by_content
def _section(one: dict[str, Any]) -> str:
    """Of one key with what stands below it."""
    return _dumped(one)


def _dumped(content: dict[str, Any] | list[str]) -> str:
    text: str = yaml.dump(content, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_DUMPER)
    return text
