"""`make chaos`: clients that keep a ledger, faults drawn from a seed, and checks after each fault.

`faults` is what happens to the `World`; `clients` and `followers` are who uses it meanwhile; `Ledger` is what they were
promised; `checks` compares that with the database.
"""
