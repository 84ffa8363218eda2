"""What outlives one call: token buckets (later counters, cached answers, ledgers)."""
