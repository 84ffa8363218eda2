"""The command ``llmedge``: runs the gateway, and asks its admin API."""
