"""One loaded model: a V2 infer request in, a V2 infer response out."""

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
    """A model ready to answer; safe to use from several threads.

    Attributes:
        spec: its tensors.
        predict: the function that runs it.
    """

    spec: ModelSpec
    predict: runtimes.Predict

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer a request whose tensors are JSON, and in JSON.

        Raises:
            InvalidInput: the request does not fit the model.
            ModelError: the model raised, or its answer is not what `model.toml` promises.
            OutOfMemory: there was not memory enough.
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
            request: what is asked.
            raw: the binary content of each input, None of one in JSON; empty if all are in JSON.

        Raises:
            InvalidInput: the request does not fit the model.
            ModelError: the model raised, or its answer is not what `model.toml` promises.
            OutOfMemory: there was not memory enough.
        """
        wanted = self._wanted(request)
        try:
            check_inputs(request, self.spec)
            inputs = {
                tensor.name: decode_tensor(tensor) if content is None else from_raw(tensor, content)
                for tensor, content in zip_longest(request.inputs, raw)
            }
        except ContractError as error:
            raise InvalidInput(str(error)) from error
        except MemoryError as error:
            raise OutOfMemory("there is not memory enough to read this request") from error
        answer = self.answer(inputs)
        return {name: answer[name] for name in wanted}

    def answer(self, inputs: runtimes.Tensors) -> runtimes.Tensors:
        """Call the model and return its outputs, each of which has the shape that `model.toml` promises.

        Raises:
            ModelError: the model raised, or gave something else.
            OutOfMemory: there was not memory enough.
        """
        tensors = self._call(inputs)
        for spec in self.spec.outputs:
            array = tensors.get(spec.name)
            if array is None:
                raise ModelError(f"model {self.spec.name} gave no output {spec.name!r}")
            if not shape_matches(array.shape, spec.shape):
                raise ModelError(
                    f"output {spec.name!r} has the shape {list(array.shape)}; "
                    f"model.toml says {list(spec.shape)}"
                )
        return tensors

    def _wanted(self, request: InferRequest) -> list[str]:
        """Return the names of the outputs that are asked for; all where the request names none."""
        known = [spec.name for spec in self.spec.outputs]
        asked = [output.get("name") for output in request.outputs]
        for name in asked:
            if name not in known:
                raise InvalidInput(
                    f"model {self.spec.name} gives {known}; the request asks for {str(name)[:64]!r}"
                )
        return [name for name in known if not asked or name in asked]

    def _call(self, inputs: runtimes.Tensors) -> runtimes.Tensors:
        try:
            return self.predict(inputs)
        except MemoryError as error:
            raise OutOfMemory("the model ran out of memory") from error
        # SystemExit, KeyboardInterrupt and the like would end the server's thread, or the whole server.
        except BaseException as error:
            raise ModelError(f"model {self.spec.name} raised {type(error).__name__}: {error}") from error


def load_engine(bundle: Bundle, *, threads: int = 1) -> Engine:
    """Load a bundle's model.

    Raises:
        ConfigurationError: it cannot be loaded.
    """
    return Engine(bundle.spec, runtimes.load(bundle, threads=threads))
