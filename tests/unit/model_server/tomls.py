"""A `model.toml` with one input and one output, for bundles with code of a test."""

TENSORS = """
[[inputs]]
name = "x"
datatype = "FP64"
shape = [-1]
[[outputs]]
name = "y"
datatype = "FP64"
shape = [-1]
"""
PYTHON = f"""
name = "{{name}}"
version = "{{version}}"
flavour = "python"
entry = "code:run"
{TENSORS}"""
"""With placeholders for `name` and `version`; the callable is `run` in `code.py`."""
