"""The local model server: its process, its weights, and how both get onto the machine.

The gateway uses `process.Engine`, `process.EngineState`, `settings.EngineSettings`, `models.find_model` and `install.install`.
The engine is llama.cpp's server (from the xllamacpp wheel) in a process of its own. It speaks OpenAI Chat, Responses and
Anthropic Messages natively, on a free loopback port, behind a key that is new at every start.
Does not know: the gateway, prices, keys of callers. What it serves is metered by whoever calls it.
"""
