"""Configs for the next model: their names, what is copied, and how an update goes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deploy_world import RULES, SERVERLESS
from tidegauge.domain.endpoint import (
    MAX_NAME_CHARS,
    Endpoint,
    EndpointConfig,
    EndpointStatus,
    RunningVariant,
    Variant,
    config_like,
    is_config_of,
    named_config,
)
from tidegauge.settings import DeploySettings, ModelSettings, Serving

NAMES = st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,30}", fullmatch=True)


def instances(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InitialInstanceCount": count}


@given(NAMES)
def test_a_configs_name_is_one_that_sagemaker_takes_and_tells_whose_it_is(version: str) -> None:
    config = named_config(Variant(version, version, SERVERLESS), {})
    assert len(config.name) <= MAX_NAME_CHARS
    assert "--" not in config.name.removeprefix(version)
    assert is_config_of(config.name, version)
    assert not is_config_of(version, version)
    assert not is_config_of(f"{version}-2-{config.name[-8:]}", version)


def test_the_longest_version_has_room_for_its_configs() -> None:
    version = "v" * MAX_NAME_CHARS
    config = named_config(Variant(version, version, SERVERLESS), {})
    assert len(config.name) == MAX_NAME_CHARS
    assert is_config_of(config.name, version)


def test_the_same_config_has_the_same_name_and_another_one_another() -> None:
    variant = Variant("v", "v", {"a": 1, "b": 2})
    same = Variant("v", "v", {"b": 2, "a": 1})
    assert named_config(variant, {}).name == named_config(same, {}).name
    others = [
        named_config(Variant("v", "w", variant.settings), {}),
        named_config(Variant("v", "v", {"a": 1}), {}),
        named_config(variant, {"KmsKeyId": "key"}),
    ]
    names = {config.name for config in [named_config(variant, {}), *others]}
    assert len(names) == 4


@pytest.mark.parametrize(
    ("running", "count"),
    [(RunningVariant("old", 7), 7), (RunningVariant("old", 0), 3), (RunningVariant("other", 9), 3)],
    ids=["scaled", "not told", "another variant"],
)
def test_a_copy_has_as_many_instances_as_are_wanted_now(
    running: RunningVariant, count: int
) -> None:
    served = EndpointConfig("c", (Variant("old", "m", instances(3)),), {"KmsKeyId": "key"})
    endpoint = Endpoint("e", EndpointStatus.IN_SERVICE, "c", variants=(running,))
    copied = config_like(served, endpoint, "new", model="new")
    assert copied.variants == (Variant("new", "new", instances(count)),)
    assert copied.settings == {"KmsKeyId": "key"}
    assert served.variants[0].settings == instances(3)


@pytest.mark.parametrize(
    ("count", "percent", "canary"), [(1, 50, 0), (2, 25, 1), (2, 50, 1), (10, 25, 2), (10, 1, 1)]
)
def test_a_canary_is_a_share_of_the_instances_and_never_more_than_half(
    count: int, percent: int, canary: int
) -> None:
    settings = DeploySettings(canary_percent=percent, canary_minutes=3, rollback_alarms="a,b")
    rules = settings.deploy_rules(ModelSettings("gauge"))
    rollout = rules.rollout_of(named_config(Variant("v", "v", instances(count)), {}))
    assert rollout is not None
    assert (rollout.canary_instances, rollout.wait_s, rollout.alarms) == (canary, 180, ("a", "b"))


def test_a_serverless_config_is_rolled_out_plainly() -> None:
    assert RULES.rollout_of(named_config(Variant("v", "v", SERVERLESS), {})) is None


def test_the_settings_say_what_an_endpoint_is_made_of() -> None:
    serverless = DeploySettings(serverless_memory_mb=3072, serverless_concurrency=9)
    assert serverless.deploy_rules(ModelSettings("gauge")).new_variant == {
        "ServerlessConfig": {"MemorySizeInMB": 3072, "MaxConcurrency": 9}
    }
    owned = DeploySettings(serving=Serving.INSTANCES, serving_instances=3)
    rules = owned.deploy_rules(ModelSettings("gauge", "prefix"))
    assert rules.new_variant == instances(3)
    assert (rules.endpoint, rules.job_prefix, rules.alarms) == ("gauge", "prefix", ())
