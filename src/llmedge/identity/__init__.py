"""Who asks: from what a request shows to a Caller."""
