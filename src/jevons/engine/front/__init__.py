"""What stands before llama.cpp's server in the engine's process: it gives each request a slot, and keeps what a slot loses.

    labels.py   the two headers by which the gateway says whose request it is, and which conversation it goes on
    seats.py    which slot holds whose conversation, and who gets one next: decisions over values
    placing.py  carries them out: waits, fills a slot from the park, parks what leaves it
    inner.py    llama.cpp's server on its own port: requests, answers, saving and restoring a slot
    app.py      the door (ASGI)

Does not know: keys of callers, prices, the ledger.
"""
