"""What guardrails look for, a type each."""
