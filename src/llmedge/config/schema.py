"""JSON Schema (2020-12) of the configuration file, from the same definitions that read it: for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmedge.config.option import table_schema
from llmedge.config.settings import Settings
from llmedge.config.vendors import Vendors


def schema(vendors: Vendors, guards: Mapping[str, Any]) -> str:
    """The schema as JSON, a section a line. A provider may have the options of any of ``vendors``: which are its own
    depends on its name too, and only reading can tell. A guardrail likewise, of any of ``guards``."""
    root = table_schema(Settings)
    (provider,) = root["properties"]["providers"]["patternProperties"].values()
    for vendor in vendors.values():
        for name, option in table_schema(vendor.settings)["properties"].items():
            provider["properties"].setdefault(name, option | {"description": f"{vendor.name}: {option['description']}"})
    guardrail = root["properties"]["guardrails"]["items"]
    for type in guards.values():
        for name, option in table_schema(type.settings)["properties"].items():
            guardrail["properties"].setdefault(name, option | {"description": f"{type.name}: {option['description']}"})
    sections = ",\n".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in root.pop("properties").items())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "llmedge.toml", **root}
    return f'{json.dumps(head)[:-1]}, "properties": {{\n{sections}\n}}}}\n'
