"""Conversations of real, unmodified clients with whatever speaks at a `Door`: a gateway, a provider, a local model.

In: a `Door` (base URL, key, model). Out: a `Said` per conversation: what the client understood, and the tokens it was told of. With a
scripted stand-in behind the door the texts are exact; a model that thinks for itself is only asked to say something.

    from tests.clients import CONVERSATIONS, Door

    @pytest.mark.parametrize("name", CONVERSATIONS)
    def test_through_the_gateway(name, gateway):
        said = CONVERSATIONS[name].hold(Door(gateway.url, gateway.key, "gpt-4o"))
"""

from tests.clients import anthropic_sdk, llm_cli, openai_sdk, pydantic_ai_agents
from tests.clients.door import CONVERSATIONS, Conversation, Door, Said

__all__ = ["CONVERSATIONS", "Conversation", "Door", "Said", "anthropic_sdk", "llm_cli", "openai_sdk", "pydantic_ai_agents"]
