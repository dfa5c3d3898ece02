"""Export of a speech-activity model from published weights.

The network (Silero VAD, MIT licence) takes overlapping windows of 576 samples and its recurrent state. The
exported graph wraps it, so that the model takes a whole recording.
"""

from pathlib import Path
from typing import Final

import onnx
from onnx import compose, parser

WEIGHTS: Final = "silero_vad/data/silero_vad_16k_sequence.onnx"

_WINDOWS: Final = """
<ir_version: {ir}, opset_import: ["": {opset}]>
windows (float[1, samples] audio) => (float[n, 576] input, float[1, 1, 128] h, float[1, 1, 128] c)
<int64[1] window = {{512}}, int64[3] nothing = {{0, 0, 0}}, int64[2] rows = {{-1, 512}},
 int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] last = {{-1}}, int64[1] tail = {{448}}>
{{
  size = Shape <start = 1, end = 2> (audio)
  short = Sub (window, size)
  missing = Mod (short, window)
  pads = Concat <axis = 0> (nothing, missing)
  whole = Pad (audio, pads)
  windowed = Reshape (whole, rows)
  tails = Slice (windowed, tail, window, one)
  silence = Constant <value = float[1, 64] {{{silence}}}> ()
  shifted = Concat <axis = 0> (silence, tails)
  before = Slice (shifted, zero, last, zero)
  input = Concat <axis = 1> (before, windowed)
  h = Constant <value = float[1, 1, 128] {{{state}}}> ()
  c = Constant <value = float[1, 1, 128] {{{state}}}> ()
}}
"""
_ROW: Final = """
<ir_version: {ir}, opset_import: ["": {opset}]>
row (float[n] probabilities) => (float[1, n] speech) <int64[2] shape = {{1, -1}}>
{{
  speech = Reshape (probabilities, shape)
}}
"""


def train(output: Path, inputs: Path) -> None:
    """Write `model.onnx` into `output`, from the weights in `inputs`."""
    network = onnx.load(inputs / WEIGHTS)
    versions = {"ir": network.ir_version, "opset": network.opset_import[0].version}
    zeros = {"silence": _zeros(64), "state": _zeros(128)}
    windows = parser.parse_model(_WINDOWS.format(**versions, **zeros))
    row = parser.parse_model(_ROW.format(**versions))
    compose.add_prefix(network, "network/", inplace=True)
    joints = [(name, f"network/{name}") for name in ("input", "h", "c")]
    heard = compose.merge_models(windows, network, joints, outputs=["network/speech_probs"])
    model = compose.merge_models(heard, row, [("network/speech_probs", "probabilities")])
    del model.opset_import[1:]  # merging repeats it for each part
    onnx.checker.check_model(model)
    (output / "model.onnx").write_bytes(model.SerializeToString())


def _zeros(count: int) -> str:
    return ", ".join(["0.0"] * count)
