"""The template as plain data."""

from typing import Any

import yaml


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, whose values tests do not need."""


def _tagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node)


CloudFormation.add_multi_constructor("!", _tagged)
