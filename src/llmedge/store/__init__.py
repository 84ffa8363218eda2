"""What outlives the process: the ledger of calls, keys and budgets, in SQLite or PostgreSQL."""
