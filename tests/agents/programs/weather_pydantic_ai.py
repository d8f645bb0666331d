"""An agent of pydantic-ai as its documentation begins: a model's name and a prompt come in, its last word goes out."""

import sys

from pydantic_ai import Agent


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


agent = Agent(sys.argv[1], instructions="Be brief.", tools=[weather])
print(agent.run_sync(sys.argv[2]).output)
