"""llama.cpp's own server on the tiny model: ``python llama_server.py MODEL PORT [API_KEY]``. Ends with its stdin."""

from __future__ import annotations

import sys

import xllamacpp


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[2])
    params.n_ctx = 8192
    params.n_parallel = 4
    params.cpuparams.n_threads = 1
    params.model_alias = {"tiny"}
    if len(sys.argv) > 3:
        params.api_keys = [sys.argv[3]]
    server = xllamacpp.Server(params)
    print("ready", flush=True)
    sys.stdin.read()  # whoever started this is gone when it ends
    del server


if __name__ == "__main__":
    main()
