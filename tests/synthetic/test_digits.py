import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfdrift.cohort.folds import check_no_leak, split
from tfdrift.errors import DataError, UsageError
from tfdrift.synthetic.digits import (
    FIELD_PIXELS,
    SCALING_RANGES,
    digit_samples,
    ink_radius,
    read_zeros,
    scaling_factors,
)


@pytest.fixture(scope="module")
def mnist_file() -> Path:
    """The full MNIST, which is not part of the project."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(os.environ.get("TFDRIFT_TEST_DATA", beside)) / "mnist.npz"
    if not path.exists():
        pytest.skip("no mnist.npz: set TFDRIFT_TEST_DATA to the folder of the real test data")
    return path


@pytest.fixture(scope="module")
def mixed(mnist_file):
    return digit_samples(mnist_file=mnist_file)


def ring(radius: float, thickness: float) -> np.ndarray:
    """Return a drawn zero, uint8 [28, 28], with an edge one pixel soft."""
    row, column = np.indices((28, 28)) - 13.5
    distance = np.abs(np.hypot(row, column) - radius)
    return (255 * np.clip(thickness / 2 + 0.5 - distance, 0, 1)).astype(np.uint8)


def write_mnist(path: Path, **changed: np.ndarray) -> Path:
    """Write 12 test and 60 training digits of which every second one is a zero."""
    rings = np.stack([ring(5 + i % 4, 1 + i / 16) for i in range(72)])
    labels = (np.arange(72) % 2).astype(np.uint8)
    arrays = {"x_test": rings[:12], "y_test": labels[:12], "x_train": rings[12:], "y_train": labels[12:]}
    np.savez(path, **{**arrays, **changed})
    return path


def test_every_zero_of_mnist_is_there(mixed):
    assert len(mixed) == 6903
    assert len(set(mixed.patient.tolist())) == 6903


def test_fold_0_is_mnists_own_test_set(mixed):
    assert {name[:4] for name in mixed.patient[mixed.fold == 0].tolist()} == {"test"}
    assert np.sum(mixed.fold == 0) == 980


def test_training_folds_are_contiguous_blocks_of_equal_size(mixed):
    folds = mixed.fold[mixed.fold > 0]
    assert np.all(np.diff(folds) >= 0)
    assert np.bincount(folds)[1:].tolist() == [988, 987, 987, 987, 987, 987]


def test_no_test_zero_is_among_the_training_zeros(mixed):
    check_no_leak(*split(mixed, 0))


@pytest.mark.parametrize("change", SCALING_RANGES)
def test_the_area_grows_with_the_square_of_the_factor(mnist_file, change):
    # On eight times MNIST's resolution what pixels round off is below a percent.
    samples = digit_samples(mnist_file=mnist_file, change=change, image_size=8 * FIELD_PIXELS, limit=70)
    test, training = read_zeros(mnist_file)
    names = [*(f"test{i:05d}" for i in range(len(test))), *(f"train{i:05d}" for i in range(len(training)))]
    factor = dict(zip(names, scaling_factors(np.concatenate([test, training]), change), strict=True))
    expected = np.array([factor[name] ** 2 for name in samples.patient.tolist()])
    np.testing.assert_allclose(samples.post_mm3 / samples.pre_mm3, expected, rtol=0.01)


def test_a_square_of_known_size_has_its_volume(tmp_path):
    square = np.zeros((2, 28, 28), np.uint8)
    square[:, 9:19, 9:19] = 255
    path = write_mnist(tmp_path / "mnist.npz", x_test=square, y_test=np.zeros(2, np.uint8))
    samples = digit_samples(mnist_file=path, image_size=280)
    # Linear interpolation falls to a tenth 0.9 pixels beyond the outermost pixel centres, which are 9 pixels apart; in
    # the corners (1 - x) (1 - y) > 0.1 holds on 0.9 - 0.1 log(10).
    assert samples.pre_mm3[0] == pytest.approx(9 * 9 + 4 * 9 * 0.9 + 4 * (0.9 - 0.1 * np.log(10)), rel=0.01)


def test_ink_at_the_border_of_mnist_does_not_leave_the_field(mnist_file, tmp_path):
    test, training = read_zeros(mnist_file)
    at_border = np.concatenate([test, training])
    at_border = at_border[np.any(at_border[:, [0, -1]], axis=(1, 2)) | np.any(at_border[:, :, [0, -1]], axis=(1, 2))]
    twice = {"x_test": at_border, "x_train": at_border, "y_test": np.zeros(len(at_border), np.uint8)}
    file = write_mnist(tmp_path / "border.npz", **twice, y_train=twice["y_test"])
    samples = digit_samples(mnist_file=file, change="grow", image_size=20 * FIELD_PIXELS)
    assert np.any(samples.post)
    assert not np.any(samples.post[:, [0, -1]])
    assert not np.any(samples.post[:, :, [0, -1]])


def test_at_the_size_of_the_field_a_pre_image_is_mnists_own(mnist_file):
    ink = read_zeros(mnist_file)[0][:5].astype(np.float32)
    samples = digit_samples(mnist_file=mnist_file, image_size=FIELD_PIXELS)
    shown = (samples.pre[:5, 2:-2, 2:-2, 0] * samples.scale[:5, None, None]).astype(np.float32)
    np.testing.assert_allclose(shown, np.where(ink > 0.1 * 255, ink, 0), rtol=1e-6)


def test_images_are_zero_outside_their_masks_and_one_at_the_largest_signal(mixed):
    assert not np.any(mixed.pre[~mixed.pre_mask])
    assert not np.any(mixed.post[~mixed.post_mask])
    np.testing.assert_allclose(mixed.pre.max(axis=(1, 2, 3)), 1, rtol=1e-6)


def test_a_mirrored_digit_gives_mirrored_images(tmp_path):
    # Half a pixel of displacement in the resampling would show here.
    zero = ring(8, 3)
    zero[:10] = 0
    both = np.stack([zero, zero[::-1]])
    path = write_mnist(tmp_path / "mnist.npz", x_test=both, y_test=np.zeros(2, np.uint8))
    samples = digit_samples(mnist_file=path, image_size=33)
    np.testing.assert_allclose(samples.post[0], samples.post[1, ::-1], atol=1e-6)


def test_the_radius_of_a_ring_is_that_of_its_mean_square():
    # A ring of radius r and width w has the mean square radius r^2 + w^2 / 4.
    rings = np.stack([ring(radius, 3) for radius in (5, 7, 9)])
    np.testing.assert_allclose(ink_radius(rings), np.sqrt(np.array([5, 7, 9]) ** 2 + 9 / 4), rtol=0.01)


def test_factors_follow_from_the_image_alone_whatever_its_rotation_and_company(mnist_file):
    zeros = read_zeros(mnist_file)[0][:50]
    alone = np.concatenate([scaling_factors(zero[np.newaxis], "mix") for zero in zeros])
    np.testing.assert_allclose(scaling_factors(np.rot90(zeros, axes=(1, 2))[::-1], "mix"), alone[::-1], rtol=1e-12)


def test_small_zeros_grow_and_large_ones_shrink():
    factors = scaling_factors(np.stack([ring(radius, 3) for radius in (5, 7, 8, 10)]), "mix")
    assert np.all(np.diff(factors) < 0)
    assert factors[0] > 1 > factors[-1]


@pytest.mark.parametrize("change", SCALING_RANGES)
def test_neither_no_change_nor_the_mean_drift_explains_the_drift(mnist_file, change):
    training, held_out = split(digit_samples(mnist_file=mnist_file, change=change, limit=2100), 0)
    copy = np.mean(held_out.drift**2)
    mean_drift = np.mean((held_out.drift - training.drift.mean(axis=0)) ** 2)
    assert copy > 0.02
    assert mean_drift > 0.5 * copy


def test_about_half_of_the_zeros_grow(mixed):
    assert 0.4 < np.mean(mixed.post_mm3 > mixed.pre_mm3) < 0.6


def test_limit_takes_as_many_from_every_fold(mnist_file):
    assert np.bincount(digit_samples(mnist_file=mnist_file, limit=72).fold).tolist() == [11, 11, 10, 10, 10, 10, 10]


def test_another_seed_chooses_other_zeros_and_leaves_them_as_they_are(tmp_path):
    path = write_mnist(tmp_path / "mnist.npz")
    whole = digit_samples(mnist_file=path)
    first, second = (digit_samples(mnist_file=path, limit=7, seed=seed) for seed in (0, 1))
    assert first.patient.tolist() != second.patient.tolist()
    rows = np.isin(whole.patient, second.patient)
    assert whole.take(rows).fingerprint() == second.fingerprint()


def test_without_a_file_keras_loader_is_asked(monkeypatch, tmp_path):
    import keras

    path = write_mnist(tmp_path / "mnist.npz")
    with np.load(path) as stored:
        loaded = (stored["x_train"], stored["y_train"]), (stored["x_test"], stored["y_test"])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: loaded)
    assert digit_samples(mnist_file=None).fingerprint() == digit_samples(mnist_file=path).fingerprint()


def test_without_file_and_network_the_error_says_where_to_put_one(tmp_path):
    script = (
        "from tfdrift.synthetic.digits import digit_samples\n"
        "from tfdrift.errors import ResourceError\n"
        "try:\n    digit_samples(mnist_file=None)\n"
        "except ResourceError as error:\n    print(error)\n"
    )
    closed = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    environment = {**os.environ, **closed, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    message = done.stdout.splitlines()[-1]
    assert message.startswith("MNIST cannot be downloaded (URL fetch failure on https://")
    assert message.endswith(f"give Keras' mnist.npz with --mnist-file FILE, or put it at {tmp_path}/datasets/mnist.npz")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent.npz does not exist; expected an .npz file of x_train, y_train"):
        digit_samples(mnist_file=tmp_path / "absent.npz")


@pytest.mark.parametrize("content", [b"", b"a picture", b"PK\x03\x04 and then nothing"])
def test_a_file_that_is_not_an_npz_is_refused(tmp_path, content):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mnist.npz cannot be read as MNIST"):
        digit_samples(mnist_file=path)


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "mnist.npy", np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(DataError, match=r"mnist.npy cannot be read as MNIST"):
        digit_samples(mnist_file=tmp_path / "mnist.npy")


def test_a_damaged_file_is_refused(tmp_path):
    path = write_mnist(tmp_path / "mnist.npz")
    content = bytearray(path.read_bytes())
    content[1000:1100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as MNIST \(Bad CRC-32"):
        digit_samples(mnist_file=path)


def test_pickled_arrays_are_refused(tmp_path):
    path = write_mnist(tmp_path / "mnist.npz", x_train=np.array([{}], object))
    with pytest.raises(DataError, match=r"cannot be read as MNIST \(Object arrays cannot be loaded"):
        digit_samples(mnist_file=path)


def test_a_file_without_the_test_set_is_refused(tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((1, 28, 28), np.uint8), y_train=np.zeros(1, np.uint8))
    with pytest.raises(DataError, match="x_test"):
        digit_samples(mnist_file=tmp_path / "mnist.npz")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x_train", np.zeros((60, 32, 32), np.uint8), r"x_train is uint8 \[60, 32, 32\]"),
        ("x_test", np.zeros((12, 28, 28), np.float32), r"x_test is float32 \[12, 28, 28\]"),
        ("y_test", np.zeros(3, np.uint8), r"y_test is uint8 \[3\]; expected a label for each image"),
        ("y_train", np.zeros(60, np.float32), r"y_train is float32 \[60\]"),
        ("y_test", np.ones(12, np.uint8), "y_test has no digit zero"),
    ],
)
def test_another_layout_is_refused(tmp_path, name, array, message):
    path = write_mnist(tmp_path / "mnist.npz", **{name: array})
    with pytest.raises(DataError, match=message):
        digit_samples(mnist_file=path)


def test_a_blank_zero_is_refused(tmp_path):
    path = write_mnist(tmp_path / "mnist.npz", x_test=np.zeros((12, 28, 28), np.uint8))
    with pytest.raises(DataError, match="test00000 of the MNIST zeros is blank"):
        digit_samples(mnist_file=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"change": "melt"}, "change melt: choose from mix, grow, shrink"),
        ({"limit": 0}, "limit 0: must be 1 or more"),
        ({"image_size": 0}, "image size 0: must be 1 or more"),
    ],
)
def test_an_argument_out_of_range_is_refused(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        digit_samples(mnist_file=write_mnist(tmp_path / "mnist.npz"), **arguments)
