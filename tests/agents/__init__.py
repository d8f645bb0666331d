"""Real agents, as people install them, against a real gateway with the stand-in provider behind it.

    make test-agents                       # installs what is missing (2 GB, once), runs them all, prints a table
    make test-agents ARGS="-k codex"

It is no part of `make test`: the agents are large, and what a registry can give is not ours to promise (`norecursedirs` in pyproject.toml).

Each agent is one file: how it is installed, what it is configured with (base URL, key and model, nothing else), and the words in which
its model asks for its tools. `agent.py` runs one in an environment of its own: an empty home, no variable of ours, no way to other hosts.
`tap.py` counts what it sends. `test_agents.py` says what must come of it.
"""
