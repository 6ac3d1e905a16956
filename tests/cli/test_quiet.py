import subprocess
import sys


def test_tensorflow_starts_without_a_word_and_errors_are_heard_again():
    code = (
        "import sys; from tfdrift_cli.quiet import start_tensorflow; start_tensorflow()\n"
        "import tensorflow as tf; print(float(tf.reduce_sum(tf.ones(3)))); print('heard', file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("3.0\n", "heard\n")


def test_a_failing_start_shows_what_was_said():
    code = (
        "import os, sys, types\n"
        "class Broken(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        os.write(2, b'the reason\\n'); raise ImportError('broken')\n"
        "sys.modules['tensorflow'] = Broken('tensorflow')\n"
        "from tfdrift_cli.quiet import start_tensorflow; start_tensorflow()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "the reason" in result.stderr
    assert "ImportError: broken" in result.stderr
