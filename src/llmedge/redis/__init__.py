"""Redis, or what speaks like it: shared by processes, and never waited for longer than is said."""
