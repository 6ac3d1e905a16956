"""Why a request gets no answer: a gRPC status code, and the HTTP status that TF Serving makes of it."""

import grpc

LONGEST_MESSAGE = 1000  # gRPC sends the text in a header of a few thousand bytes

HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""TF Serving's mapping; every other code is 500."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """An answer that is an error.

    Args:
        code: what kind of error.
        message: what is wrong, for the client to read.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:LONGEST_MESSAGE]

    @property
    def http_status(self) -> int:
        """Return the status of the answer over HTTP."""
        return HTTP_STATUS.get(self.code, 500)


def invalid(message: str) -> Refusal:
    """Return the refusal of a request that is wrong in itself."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def unimplemented(message: str) -> Refusal:
    """Return the refusal of what this server cannot do."""
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, message)


def code_of(number: int) -> grpc.StatusCode:
    """Return the status code of TensorFlow's error number; the two count alike."""
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)
