"""The served callable: tokenizes texts and runs the network."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

_HERE: Final = Path(__file__).parent
_PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")
_MAX_TOKENS: Final = 256
"""Longer texts are truncated."""


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(_HERE / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(_HERE / "model.onnx"),
        sess_options=options,
        providers=[name for name in _PROVIDERS if name in onnxruntime.get_available_providers()],
    )


# Loaded once, at the start of the server or function. Both are safe to use from several threads.
_TOKENIZER: Final = _tokenizer()
_SESSION: Final = _session()


def predict(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the vector of each text."""
    texts = inputs["text"].tolist()
    if not texts:
        return {"embedding": np.zeros((0, 384), np.float32)}
    encoded = _TOKENIZER.encode_batch(texts)
    tokens = np.array([each.ids for each in encoded], np.int64)
    mask = np.array([each.attention_mask for each in encoded], np.float32)
    return {"embedding": _SESSION.run(["embedding"], {"tokens": tokens, "mask": mask})[0]}
