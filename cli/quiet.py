"""TensorFlow's greeting, kept off the terminal."""

import os
import sys
import tempfile


def start_tensorflow() -> None:
    """Import TensorFlow and look for GPUs, without the dozen lines that its libraries write to standard error.

    They are written before any log level counts. If the start fails they are shown, with the exception.
    """
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")
            tf.get_logger().setLevel("ERROR")  # its advice on how to write programs is not for their users
        except BaseException:
            said.seek(0)
            os.write(standard_error, said.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
