"""Whose answers tell log-probabilities, and how often a model is asked where they do not.

Comes in: an upstream's settings, a target. Goes out: yes or no, a number of calls. Does not know: requests, answers.
"""

from jevons.core.ask import Dialect
from jevons.gateway.outbound import is_openai
from jevons.gateway.settings import UpstreamSettings
from jevons.meter.models import Reasons, model_facts
from jevons.policy.cascade import SAMPLES
from jevons.policy.route import Target


def tells(settings: UpstreamSettings, target: Target) -> bool:
    """Not over Messages, not what thinks unseen; over Responses only OpenAI itself (llama.cpp's server answers 400)."""
    facts = model_facts(settings.price_provider, target.model)
    if facts.known and facts.reasons_unseen is Reasons.ALWAYS:
        return False
    return target.dialect is Dialect.CHAT or (target.dialect is Dialect.RESPONSES and is_openai(settings))


def calls(settings: UpstreamSettings, target: Target) -> int:
    """So often it is asked as the small model of a cascade."""
    return 1 if tells(settings, target) else SAMPLES
