"""A `model.toml` is read whole, or refused with the line and with what mends it."""

import pytest

from straightline.errors import ConfigurationError
from straightline.models.model_file import decode_model_file, line_of

WHOLE = """\
name = "echo"
version = "1.2"
flavour = "python"
entry = "model:predict"
timeout = 5.0
backends = ["local", "serverless"]
max_payload = {serverless = 5_000_000}

[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 4]

[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1]

[resources]
cpus = 0.5
memory = 512

[warm]
minimum = 1
maximum = 3
idle = 20

[train]
entry = "train:train"
gpus = 1

[validate]
entry = "evaluate:validate"
metric = "accuracy"
minimum = 0.9
"""


def test_a_complete_file_is_parsed_with_its_defaults() -> None:
    file = decode_model_file(WHOLE)
    assert (file.name, file.version, file.flavour, file.entry) == ("echo", "1.2", "python", "model:predict")
    assert file.max_payload == {"serverless": 5_000_000}
    assert (file.resources.cpus, file.resources.memory, file.resources.gpus) == (0.5, 512, 0)
    assert (file.warm.minimum, file.warm.maximum, file.warm.idle) == (1, 3, 20)
    assert file.train is not None
    assert not file.train.network
    assert file.validate is not None
    assert file.validate.tolerance == 0.01


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout = 5.0", "timeuot = 5.0", "line 5: timeuot is unknown; did you mean timeout?"),
        ("cpus = 0.5", "cpu = 0.5", "line 20: resources.cpu is unknown; did you mean cpus?"),
        (
            "cpus = 0.5",
            "horses = 2",
            "line 20: resources.horses is unknown; remove it; valid members are cpus, memory",
        ),
        ("shape = [-1]", "shape = [-2]", "line 17: outputs[0].shape[0]: Expected `int` >= -1"),
        (
            'datatype = "FP32"\nshape = [-1]',
            'datatype = "float"\nshape = [-1]',
            "line 16: outputs[0].datatype: use BOOL, BYTES, FP16",
        ),
        ('name = "x"\n', "", "line 9: inputs[0].name is missing: add it"),
        ('version = "1.2"\n', "", "version is missing: add it"),
        ('name = "echo"', 'name = "../echo"', "line 1: name: use letters, digits"),
        ("timeout = 5.0", 'timeout = "long"', "line 5: timeout: Expected `float`, got `str`"),
        ("timeout = 5.0", "timeout = 0", "line 5: timeout: Expected `float` > 0"),
        (
            'backends = ["local", ',
            'backends = ["moon", ',
            "'moon'; use one of serverless, gpu-container, local",
        ),
        (
            '"train:train"',
            '"train"',
            'line 29: train.entry: name a module and a callable, as "module:callable"',
        ),
        ("minimum = 0.9\n", "", "line 32: validate.minimum is missing"),
        ("maximum = 3", "maximum = 0", "line 25: warm.maximum"),
        ("minimum = 1\n", "minimum = 7\n", "a minimum above its maximum"),
        ('flavour = "python"', 'flavour = "java"', "'java'; use one of onnx, python, external"),
        (
            'flavour = "python"',
            'flavour = "onnx"',
            'flavour = "onnx" needs artifact: add it, for example artifact = "model.onnx"',
        ),
        (
            'entry = "model:predict"\n',
            "",
            'flavour = "python" needs entry: add it, for example entry = "model:predict"',
        ),
        ('entry = "model:predict"', 'entry = "model:predict"\nurl = "http://h:1"', "url has no meaning"),
        ("timeout = 5.0", "timeout = ", "it is not TOML: Invalid value (at line 5"),
        ("timeout = 5.0", 'timeout = 5.0\nname = "again"', "line 6"),
    ],
)
def test_a_wrong_member_is_refused_with_its_line_and_the_cure(old: str, new: str, told: str) -> None:
    assert old in WHOLE
    with pytest.raises(ConfigurationError) as caught:
        decode_model_file(WHOLE.replace(old, new, 1))
    assert told in str(caught.value)


def test_an_external_model_has_an_address_and_is_not_trained() -> None:
    tensors = WHOLE[WHOLE.index("[[inputs]]") : WHOLE.index("[resources]")]
    top = 'name = "echo"\nversion = "1"\nflavour = "external"\nbackends = ["local"]\n'
    file = decode_model_file(f'{top}url = "https://models.example:8443"\n{tensors}')
    assert file.url == "https://models.example:8443"
    for wrong in ("", 'url = "models.example"\n', 'url = "https://h"\ntrain = {entry = "a:b"}\n'):
        with pytest.raises(ConfigurationError):
            decode_model_file(f"{top}{wrong}{tensors}")
    everywhere = top.replace('backends = ["local"]\n', "")
    with pytest.raises(ConfigurationError, match=r'set backends = \["local"\]'):
        decode_model_file(f'{everywhere}url = "https://h"\n{tensors}')


def test_tensors_are_named_once_and_there_is_at_least_one() -> None:
    twice = WHOLE.replace(
        "[[outputs]]", '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [1]\n[[outputs]]'
    )
    with pytest.raises(ConfigurationError, match="unique names"):
        decode_model_file(twice)
    with pytest.raises(ConfigurationError, match="at least one"):
        decode_model_file(
            'name = "a"\nversion = "1"\nflavour = "python"\nentry = "a:b"\ninputs = []\noutputs = []'
        )


def test_the_line_of_a_member_is_that_of_the_innermost_one_with_a_line() -> None:
    assert line_of("a = 1\n[[b]]\n[[b]]\nc = {d = 2}\n", ("b", 1, "c", "d")) == 4
    assert line_of("a = 1\n", ("nothing",)) is None
