"""A forecast every session, issued into a ledger before the next one opens."""
