"""Launch lines of engines for GPUs and fleets: vLLM, and Ray Serve LLM, which runs vLLM. Nothing here starts one.

    options.py       which options a version takes, with which values: read from the package's own argument definitions
    accelerators.py  what a GPU can do and how much it holds
    sizes.py         bytes of a model's weights and of a token's keys and values
    rules.py         what contradicts itself, the hardware or the model
    lines.py         the command, Ray's configuration, and the tables that Jevons needs beside it

Does not know: whether such a machine is there, what it costs.
"""
