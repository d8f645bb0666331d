"""libllama by ctypes: what a server does not offer (logits, states, quantising, what happens inside a layer), for commands that measure.

    library = open_library()
    with Model(library, path) as model, Context(model, 2048) as context:
        logits = context.decode(model.tokens("The capital of France is"))

A fault in the native code (an assertion of its own) ends the process: commands run what may meet one `apart`.
Does not know: HTTP, the server that answers requests, what a token costs.
"""
