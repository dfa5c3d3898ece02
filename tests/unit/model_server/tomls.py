"""A `model.toml` with one tensor in and one out, for bundles whose code tests write."""

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
"""With `name` and `version` to be filled in; its code is `code.py`, which has `run`."""
