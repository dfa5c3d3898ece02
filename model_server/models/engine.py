"""A loaded model that answers V2 infer requests."""

from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from model_server.errors import InvalidInput, ModelError, OutOfMemory
from model_server.models import runtimes
from model_server.models.bundle import Bundle
from model_server.tensors.binary import from_raw
from model_server.tensors.decode import decode_tensor
from model_server.tensors.encode import encode_tensor
from straightline.contracts import InferRequest, InferResponse, ModelSpec
from straightline.contracts.tensors.v2 import check_inputs, shape_matches
from straightline.errors import ContractError


class Engine(msgspec.Struct, frozen=True):
    """A loaded model; safe to use from several threads.

    Attributes:
        spec: name, version and tensors.
        predict: runs the model.
    """

    spec: ModelSpec
    predict: runtimes.Predict

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer a request whose tensors are JSON, in JSON.

        Raises:
            InvalidInput: the request does not fit the model.
            ModelError: the model raised an exception, or returned other tensors than `model.toml` lists.
            OutOfMemory: there was not enough memory.
        """
        tensors = self.tensors(request)
        return InferResponse(
            model_name=self.spec.name,
            model_version=self.spec.version,
            id=request.id,
            outputs=[
                encode_tensor(spec.name, spec.datatype, tensors[spec.name])
                for spec in self.spec.outputs
                if spec.name in tensors
            ],
        )

    def tensors(self, request: InferRequest, raw: Sequence[memoryview | None] = ()) -> runtimes.Tensors:
        """Answer a request with the outputs that it asks for, by name.

        Args:
            request: the request.
            raw: the binary content of each input, None of one in JSON; empty if all are in JSON.

        Raises:
            InvalidInput: the request does not fit the model.
            ModelError: the model raised an exception, or returned other tensors than `model.toml` lists.
            OutOfMemory: there was not enough memory.
        """
        wanted = self._requested_outputs(request)
        try:
            check_inputs(request, self.spec)
            inputs = {
                tensor.name: decode_tensor(tensor) if content is None else from_raw(tensor, content)
                for tensor, content in zip_longest(request.inputs, raw)
            }
        except ContractError as error:
            raise InvalidInput(str(error)) from error
        except MemoryError as error:
            raise OutOfMemory("there is not enough memory to decode the request") from error
        outputs = self.run(inputs)
        return {name: outputs[name] for name in wanted}

    def run(self, inputs: runtimes.Tensors) -> runtimes.Tensors:
        """Call the model, check the shapes of its outputs against `model.toml`, and return them.

        Raises:
            ModelError: the model raised an exception, or an output is missing or has another shape.
            OutOfMemory: there was not enough memory.
        """
        tensors = self._call(inputs)
        for spec in self.spec.outputs:
            array = tensors.get(spec.name)
            if array is None:
                raise ModelError(f"model {self.spec.name} returned no output {spec.name!r}")
            if not shape_matches(array.shape, spec.shape):
                raise ModelError(
                    f"output {spec.name!r} has the shape {list(array.shape)}, "
                    f"but model.toml says {list(spec.shape)}"
                )
        return tensors

    def _requested_outputs(self, request: InferRequest) -> list[str]:
        """Return the names of the requested outputs; all if the request names none."""
        known = [spec.name for spec in self.spec.outputs]
        requested = [output.get("name") for output in request.outputs]
        for name in requested:
            if name not in known:
                raise InvalidInput(
                    f"model {self.spec.name} has no output {str(name)[:64]!r}; its outputs are {known}"
                )
        return [name for name in known if not requested or name in requested]

    def _call(self, inputs: runtimes.Tensors) -> runtimes.Tensors:
        try:
            return self.predict(inputs)
        except MemoryError as error:
            raise OutOfMemory("the model ran out of memory") from error
        # SystemExit, KeyboardInterrupt and the like would end the thread or the server.
        except BaseException as error:
            raise ModelError(f"model {self.spec.name} raised {type(error).__name__}: {error}") from error


def load_engine(bundle: Bundle, *, threads: int = 1) -> Engine:
    """Load the model of a bundle.

    Args:
        bundle: the bundle.
        threads: threads of one call, for ONNX models.

    Raises:
        ConfigurationError: the model cannot be loaded.
    """
    return Engine(bundle.spec, runtimes.load(bundle, threads=threads))
