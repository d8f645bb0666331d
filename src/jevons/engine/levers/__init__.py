"""What each way to a cheaper token does on this machine: rates of weights, batches and parked states, and the watts meanwhile.

    measure.py   the rates, with the real library, by turns in one process
    energy.py    joules from the processor's own counters, where they can be read

Does not know: prices, how levers share a fall (economics/levers.py), how it is shown.
"""
