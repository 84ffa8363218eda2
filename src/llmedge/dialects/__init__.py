"""Wire formats, both directions. Pure: no reactor, no socket."""
