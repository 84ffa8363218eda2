"""The sections of the configuration file, one file each: every setting with its kind, default, variable and meaning.

Reading, ``--check``, the reference in docs and the JSON Schema all walk these definitions.
"""
