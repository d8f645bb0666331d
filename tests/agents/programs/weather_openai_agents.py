"""An agent of the OpenAI Agents SDK as its documentation begins: a model's name and a prompt come in, its last word goes out."""

import sys

from agents import Agent, Runner, function_tool


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


agent = Agent(name="Weather", instructions="Be brief.", model=sys.argv[1], tools=[weather])
print(Runner.run_sync(agent, sys.argv[2], max_turns=100).final_output)
