"""What reads the Record of a finished call: logs and metrics."""
