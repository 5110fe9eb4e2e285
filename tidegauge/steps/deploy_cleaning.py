"""The deploy step's broom: models and endpoint configs that nothing needs any more.

Takes the ledger and what the host holds, deletes what lies behind the newest few. Only what the
ledger knows is ever touched, and never what any endpoint needs. The verified artifacts stay: a
model that is wanted again is made from its own.
"""

from collections.abc import Sequence

from tidegauge.domain.endpoint import DeployRules, is_config_of
from tidegauge.domain.model_record import SETTLED, ModelRecord, ModelState
from tidegauge.ports import ModelLedger
from tidegauge.ports.serving import ModelHost


def clean_up(ledger: ModelLedger, host: ModelHost, rules: DeployRules) -> list[str]:
    """Delete configs and models beyond the live one, those on their way and the newest others.

    Returns:
        The names of what was deleted.

    Raises:
        Transient, Misconfigured: the rest is left to the next deployment.
    """
    records = [stored.record for stored in ledger.all()]
    kept = _kept(records, rules.keep)
    needed = {one.config for one in kept}
    needed |= {one.previous_config for one in kept if one.state not in SETTLED}
    kept_versions = {one.version for one in kept}
    versions = [one.version for one in records]
    names = [
        name
        for name in host.configs(containing=rules.job_prefix)
        if name not in needed and any(is_config_of(name, version) for version in versions)
    ]
    models = [
        name
        for name in host.models(containing=rules.job_prefix)
        if name in versions and name not in kept_versions
    ]
    if not names and not models:
        return []
    # Asked last: what an endpoint was given meanwhile shows.
    used = host.in_use()
    deleted = [name for name in names if name not in used.configs and host.delete_config(name)]
    deleted += [name for name in models if name not in used.models and host.delete_model(name)]
    return deleted


def _kept(records: Sequence[ModelRecord], keep: int) -> list[ModelRecord]:
    """Return the records whose config and model stay: newest first, as the records come."""
    always = [one for one in records if one.state not in SETTLED or one.state is ModelState.LIVE]
    others = [one for one in records if one.config and one not in always]
    return [*always, *others[:keep]]
