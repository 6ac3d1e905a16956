"""Ask a SavedModel through the C library of TensorFlow, the loader that TF Serving uses, without TensorFlow's Python.

    python c_loader.py LIBRARY MODEL_FOLDER FEEDS.npz FETCHES.npz TENSOR...

FEEDS.npz holds an array for each tensor that is fed, named like the tensor; FETCHES.npz is written with one for each
TENSOR. The functions are those of `tensorflow/c/c_api.h`.
"""

import ctypes
import sys

import numpy as np

TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 9}  # TF_FLOAT, TF_INT64 in tensorflow/c/tf_datatype.h


class Output(ctypes.Structure):
    """A tensor of the graph: TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Library:
    """The functions of the C library, each with its types."""

    def __init__(self, path: str) -> None:
        pointer, number, size, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
        dims, texts, tensors, outputs = (ctypes.POINTER(kind) for kind in (ctypes.c_int64, text, pointer, Output))
        many = [outputs, tensors, number]
        self._library = ctypes.CDLL(path)
        self.new_status = self._function("TF_NewStatus", pointer, [])
        self.code = self._function("TF_GetCode", number, [pointer])
        self.message = self._function("TF_Message", text, [pointer])
        self.new_graph = self._function("TF_NewGraph", pointer, [])
        self.new_options = self._function("TF_NewSessionOptions", pointer, [])
        self.load = self._function(
            "TF_LoadSessionFromSavedModel", pointer, [pointer, pointer, text, texts, number, pointer, pointer, pointer]
        )
        self.operation = self._function("TF_GraphOperationByName", pointer, [pointer, text])
        self.run = self._function(
            "TF_SessionRun", None, [pointer, pointer, *many, *many, pointer, number, pointer, pointer]
        )
        self.new_tensor = self._function("TF_AllocateTensor", pointer, [number, dims, number, size])
        self.data = self._function("TF_TensorData", pointer, [pointer])
        self.num_bytes = self._function("TF_TensorByteSize", size, [pointer])
        self.num_dims = self._function("TF_NumDims", number, [pointer])
        self.dim = self._function("TF_Dim", ctypes.c_int64, [pointer, number])
        self.type = self._function("TF_TensorType", number, [pointer])

    def _function(self, name: str, result, arguments: list):
        function = getattr(self._library, name)
        function.restype, function.argtypes = result, arguments
        return function


class Session:
    """A loaded SavedModel; it lives as long as the process."""

    def __init__(self, library: Library, model: str) -> None:
        self._c = library
        self._status = library.new_status()
        self._graph = library.new_graph()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.load(
            library.new_options(), None, model.encode(), tags, 1, self._graph, None, self._status
        )
        self._check()

    def run(self, feeds: dict[str, np.ndarray], fetches: list[str]) -> dict[str, np.ndarray]:
        """Return the fetched tensors by their names."""
        inputs = (Output * len(feeds))(*(self._output(name) for name in feeds))
        values = (ctypes.c_void_p * len(feeds))(*(self._tensor(array) for array in feeds.values()))
        outputs = (Output * len(fetches))(*(self._output(name) for name in fetches))
        results = (ctypes.c_void_p * len(fetches))()
        self._c.run(
            self._session, None, inputs, values, len(feeds), outputs, results, len(fetches), None, 0, None, self._status
        )
        self._check()
        return {name: self._array(tensor) for name, tensor in zip(fetches, results, strict=True)}

    def _output(self, name: str) -> Output:
        operation, index = name.split(":")
        found = self._c.operation(self._graph, operation.encode())
        if not found:
            raise KeyError(name)
        return Output(found, int(index))

    def _tensor(self, array: np.ndarray) -> int:
        array = np.ascontiguousarray(array)
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self._c.new_tensor(TYPES[array.dtype], shape, array.ndim, array.nbytes)
        ctypes.memmove(self._c.data(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        shape = [self._c.dim(tensor, axis) for axis in range(self._c.num_dims(tensor))]
        kind = next(kind for kind, number in TYPES.items() if number == self._c.type(tensor))
        return np.frombuffer(ctypes.string_at(self._c.data(tensor), self._c.num_bytes(tensor)), kind).reshape(shape)

    def _check(self) -> None:
        if self._c.code(self._status) != 0:
            raise RuntimeError(self._c.message(self._status).decode())


if __name__ == "__main__":
    library_path, model_folder, feeds_file, fetches_file, *names = sys.argv[1:]
    with np.load(feeds_file) as arrays:
        answer = Session(Library(library_path), model_folder).run(dict(arrays), names)
    assert "tensorflow" not in sys.modules
    np.savez(fetches_file, **answer)  # pyright: ignore[reportArgumentType] - no tensor is called allow_pickle
