"""A request as its vendor takes it, before it is rendered: from the IR into the IR."""
