"""Speed beside PyTorch and OpenVINO: one network, one batch, one precision, in turns in one run.

    pip install '.[bench]'
    python benchmarks/peers.py train  [--image-size 32 64] [--precision float32 bfloat16] [--rounds 5]
    python benchmarks/peers.py sample [--image-size 32] [--batch 1 64] [--precision float32 bfloat16] [--rounds 5]

Each engine is a process of its own with the same threads. They hold the same weights, which is checked by their
answers, and take turns, so that other work on the machine slows all alike. Printed are the medians and the ratio of
each turn's pair, and as the limit how fast one large matrix product ran in that very turn.

`train` is a step of Method 1 with all that belongs to it: batch, rotation, noise, network, SSIM, AdamW. `sample` is
Method 2's walk of 21 levels with decoupled heads.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LEVELS, BATCH, DEPTH = 21, 64, 3
RECON_SSIM, DRIFT_WEIGHT = 0.1, 3.0
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4
HEADS = {"train": "shared", "sample": "decoupled"}
ENGINES = {
    "train": ("tfdrift", "torch", "torch-compile"),
    "sample": ("tfdrift", "torch", "torch-compile", "openvino"),
}
GEMM = 2048
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1}


def signal_and_noise() -> tuple[np.ndarray, np.ndarray]:
    """Return signal and noise rate at each level of the default schedule, and after the last (signal 1, noise 0)."""
    alpha_bar = 1 - np.linspace(0.05, 0.95, LEVELS)
    return np.sqrt(alpha_bar), 0.2 * np.sqrt(1 - alpha_bar)


def images(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 200 pairs of discs of random size and brightness, float32 [200, S, S, 1]."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    radius = rng.uniform(0.2, 0.45, (200, 1, 1)) * size
    pre = ((rows**2 + columns**2 < radius**2) * rng.uniform(0.5, 1, (200, size, size))).astype(np.float32)
    return pre[..., None], (0.8 * pre)[..., None]


class Tfdrift:
    """This package: the trainer's own compiled loop, and the exported graph's own sampler."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        import tensorflow as tf

        from tfdrift.config import train_config
        from tfdrift.training.run_folder import build_network, make_predictor

        self._tf, self._arguments = tf, arguments
        method = {"train": "method1", "sample": "method2"}[arguments.task]
        precision = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[arguments.precision]
        self._config = train_config(
            method, image_size=arguments.image_size, base_filters=arguments.base_filters, precision=precision
        )
        tf.config.experimental.enable_op_determinism()  # as every command asks
        self._network = build_network(self._config)
        pre, post = images(arguments.image_size)
        if arguments.task == "train":
            self._step = self._training(pre, post)
        else:
            predictor = make_predictor(self._config, self._network)
            seeds = np.stack([np.zeros(arguments.batch), np.arange(arguments.batch)], 1).astype(np.int64)
            given = tf.constant(pre[: arguments.batch]), tf.constant(seeds)
            sampled = tf.function(lambda image, seed: predictor.method.answer(self._ask, image, seed)["drift"])
            self._step = lambda: sampled(*given).numpy()

    def _ask(self, x_t, t, _latent=None):
        return self._network({"image": x_t, "t": t}, training=False)

    def _training(self, pre, post):
        from tfdrift.methods import make_method
        from tfdrift.methods.augmentation import AUGMENTATIONS
        from tfdrift.training.loop import compile_steps, run_steps
        from tfdrift.training.run_folder import make_run_loss
        from tfdrift.training.step import make_optimizer, make_train_step, metric_names

        tf, look = self._tf, AUGMENTATIONS["rotations"].look
        pre, post = tf.constant(pre), tf.constant(post)

        def batch(step):
            position = step * BATCH + tf.range(BATCH, dtype=tf.int64)
            row, number = position % len(pre), position % 4
            looks = tf.stack([tf.zeros_like(position), position], axis=1)
            return {
                "pre": look(tf.gather(pre, row), number, looks),
                "post": look(tf.gather(post, row), number, looks),
            }

        method = make_method("method1", vars(self._config))
        optimizer = make_optimizer(learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        loss = make_run_loss(self._config, self._network)
        steps = compile_steps(make_train_step(self._network, optimizer, loss, batch, seed=0), metric_names(method))
        return lambda: run_steps(steps, 0, self._arguments.steps)

    def weights(self) -> dict[str, np.ndarray]:
        """Return every weight by the name of its layer."""
        return {
            f"{layer.name}/{number}": value
            for layer in self._network.layers
            for number, value in enumerate(layer.get_weights())
        }

    def answer(self, image: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return the drift of an image at a time."""
        return self._ask(self._tf.constant(image), self._tf.constant(t))["drift"].numpy()

    def run(self) -> None:
        """Do one turn's work."""
        self._step()

    def gemm(self) -> None:
        """Multiply two large matrices once."""
        if not hasattr(self, "_square"):
            dtype = self._tf.as_dtype(self._arguments.precision)
            self._square = self._tf.ones([GEMM, GEMM], dtype)
        self._tf.linalg.matmul(self._square, self._square).numpy()


class Torch:
    """PyTorch with channels last, eager or compiled."""

    compiled = False

    def __init__(self, arguments: argparse.Namespace, weights: dict[str, np.ndarray]) -> None:
        import torch  # pyright: ignore[reportMissingImports]

        self._torch, self._arguments = torch, arguments
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        self._network = torch_network(weights, HEADS[arguments.task])
        self._network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._called = torch.compile(self._network) if self.compiled else self._network
        pre, post = (torch.from_numpy(part).permute(0, 3, 1, 2) for part in images(arguments.image_size))
        pre, post = (part.contiguous(memory_format=torch.channels_last) for part in (pre, post))
        signal, noise = (torch.tensor(rates, dtype=torch.float32) for rates in signal_and_noise())
        if arguments.task == "train":
            self._step = self._training(pre, post, signal, noise)
        else:
            self._step = lambda: self._sample(pre[: arguments.batch], signal, noise)

    def _cast(self):
        return self._torch.autocast("cpu", self._torch.bfloat16, enabled=self._arguments.precision == "bfloat16")

    def _training(self, pre, post, signal, noise):
        torch = self._torch
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        coordinate = torch.arange(11) - 5.0
        bell = torch.exp(-(coordinate**2) / (2 * 1.5**2))
        window = (bell[:, None] * bell / bell.sum() ** 2)[None, None]

        def ssim(first, second):
            moments = torch.cat([first, second, first * first, second * second, first * second])
            mean_1, mean_2, square_1, square_2, product = torch.nn.functional.conv2d(moments, window).chunk(5)
            c_1, c_2 = 0.01**2, 0.03**2
            luminance = (2 * mean_1 * mean_2 + c_1) / (mean_1**2 + mean_2**2 + c_1)
            variances = square_1 - mean_1**2 + square_2 - mean_2**2
            return (luminance * (2 * (product - mean_1 * mean_2) + c_2) / (variances + c_2)).mean()

        def step(number):
            row = (number * BATCH + torch.arange(BATCH)) % len(pre)
            before, after = pre[row], post[row]
            quarters = [(torch.rot90(before[k::4], k, (2, 3)), torch.rot90(after[k::4], k, (2, 3))) for k in range(4)]
            before, after = (torch.cat(parts) for parts in zip(*quarters, strict=True))
            level = torch.randint(LEVELS, (BATCH,))
            eps = torch.randn_like(before)
            x_t = signal[level, None, None, None] * before + noise[level, None, None, None] * eps
            optimizer.zero_grad(set_to_none=True)
            with self._cast():
                recon, drift = self._called(x_t, level[:, None] / (LEVELS - 1))
            recon, drift = recon.float(), drift.float()
            image = (1 - RECON_SSIM) * torch.mean((recon - after) ** 2) + RECON_SSIM * (1 - ssim(recon, after))
            loss = image + DRIFT_WEIGHT * torch.mean((drift - (after - before)) ** 2)
            loss.backward()
            optimizer.step()

        def steps():
            for number in range(self._arguments.steps):
                step(number)

        return steps

    def _sample(self, pre, signal, noise):
        torch = self._torch
        with torch.inference_mode(), self._cast():
            x_t = signal[-1] * pre + noise[-1] * torch.randn_like(pre)
            drifts = []
            for level in reversed(range(LEVELS)):
                eps_hat, drift = self._called(x_t, torch.full((len(pre), 1), level / (LEVELS - 1)))
                x0_hat = ((x_t - noise[level] * eps_hat.float()) / signal[level]).clamp(0, 1)
                eps_hat = (x_t - signal[level] * x0_hat) / noise[level]
                if level > 0:
                    x_t = signal[level - 1] * x0_hat + noise[level - 1] * eps_hat
                drifts.append(drift.float())
            return torch.stack(drifts).mean(0).numpy()

    def answer(self, image: np.ndarray, t: np.ndarray) -> np.ndarray:
        """As `Tfdrift.answer`."""
        torch = self._torch
        with torch.inference_mode(), self._cast():
            _, drift = self._called(torch.from_numpy(image).permute(0, 3, 1, 2), torch.from_numpy(t))
        return drift.float().permute(0, 2, 3, 1).numpy()

    def run(self) -> None:
        """As `Tfdrift.run`."""
        self._step()

    def gemm(self) -> None:
        """As `Tfdrift.gemm`."""
        if not hasattr(self, "_square"):
            self._square = self._torch.ones(GEMM, GEMM, dtype=getattr(self._torch, self._arguments.precision))
        self._torch.mm(self._square, self._square)


class TorchCompile(Torch):
    """The same, through `torch.compile`."""

    compiled = True


class OpenVino:
    """The network by OpenVINO, the walk over the levels around it by NumPy."""

    def __init__(self, arguments: argparse.Namespace, weights: dict[str, np.ndarray]) -> None:
        import openvino  # pyright: ignore[reportMissingImports]
        import torch  # pyright: ignore[reportMissingImports]

        self._arguments = arguments
        self._pre = images(arguments.image_size)[0][: arguments.batch].transpose(0, 3, 1, 2).copy()
        example = torch.from_numpy(self._pre), torch.zeros(len(self._pre), 1)
        model = openvino.convert_model(torch_network(weights, HEADS[arguments.task]), example_input=example)
        precision = {"float32": "f32", "bfloat16": "bf16"}[arguments.precision]
        self._compiled = openvino.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": arguments.threads,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self._signal, self._noise = signal_and_noise()

    def answer(self, image: np.ndarray, t: np.ndarray) -> np.ndarray:
        """As `Tfdrift.answer`."""
        return self._compiled((image.transpose(0, 3, 1, 2), t))[1].transpose(0, 2, 3, 1)

    def run(self) -> None:
        """As `Tfdrift.run`."""
        signal, noise, pre = self._signal.astype(np.float32), self._noise.astype(np.float32), self._pre
        x_t = signal[-1] * pre + noise[-1] * np.random.default_rng(0).standard_normal(pre.shape, np.float32)
        drifts = []
        for level in reversed(range(LEVELS)):
            found = self._compiled((x_t, np.full((len(pre), 1), level / (LEVELS - 1), np.float32)))
            x0_hat = np.clip((x_t - noise[level] * found[0]) / signal[level], 0, 1)
            eps_hat = (x_t - signal[level] * x0_hat) / noise[level]
            if level > 0:
                x_t = signal[level - 1] * x0_hat + noise[level - 1] * eps_hat
            drifts.append(found[1])
        np.mean(drifts, axis=0)

    def gemm(self) -> None:
        """OpenVINO has no matrix product of its own to ask for."""


def torch_network(weights: dict[str, np.ndarray], heads: str):
    """Return the network of `tfdrift.model.unet` in PyTorch, with given weights.

    Args:
        weights: of `Tfdrift.weights`.
        heads: `shared` or `decoupled`.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    def convolution(name):
        kernel, bias = weights[f"{name}/0"], weights[f"{name}/1"]
        side, _, before, after = kernel.shape
        layer = nn.Conv2d(before, after, side, padding=side // 2)
        layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(bias)  # pyright: ignore[reportOptionalMemberAccess]
        return layer

    def pair(name):
        return nn.Sequential(convolution(f"{name}_conv1"), nn.ReLU(), convolution(f"{name}_conv2"), nn.ReLU())

    def transposed(name):
        kernel, bias = weights[f"{name}/0"], weights[f"{name}/1"]
        layer = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 2, stride=2)
        layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(bias)  # pyright: ignore[reportOptionalMemberAccess]
        return nn.Sequential(layer, nn.ReLU())

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleList([pair(f"encoder{stage}") for stage in range(DEPTH)])
            self.bottleneck = pair("encoder_bottleneck")
            self.time = nn.Linear(1, weights["encoder_time/1"].size)
            self.time.weight.data = torch.from_numpy(weights["encoder_time/0"].T.copy())
            self.time.bias.data = torch.from_numpy(weights["encoder_time/1"])
            names = {"shared": ["decoder"], "decoupled": ["recon_decoder", "drift_decoder"]}[heads]
            stages = list(reversed(range(DEPTH)))
            self.ups = nn.ModuleList(
                [nn.ModuleList([transposed(f"{name}{stage}_up") for stage in stages]) for name in names]
            )
            self.decoders = nn.ModuleList(
                [nn.ModuleList([pair(f"{name}{stage}") for stage in stages]) for name in names]
            )
            self.recon, self.drift = convolution("recon"), convolution("drift")

        def forward(self, x, t):
            skips = []
            for stage in self.encoder:
                x = stage(x)
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            time_map = torch.relu(self.time(t))[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
            x = self.bottleneck(torch.cat([x, time_map], 1))
            features = []
            for ups, decoder in zip(self.ups, self.decoders, strict=True):
                y = x
                for up, stage, skip in zip(ups, decoder, reversed(skips), strict=True):
                    y = stage(torch.cat([up(y), skip], 1))
                features.append(y)
            return self.recon(features[0]), self.drift(features[-1])

    return Network()


def child(arguments: argparse.Namespace) -> None:
    """Serve one engine: a line in (`run`, `gemm` or `answer`), a line of JSON out."""
    kept = Path(arguments.weights)
    if arguments.engine == "tfdrift":
        engine = Tfdrift(arguments)
        np.savez(kept, **engine.weights())  # pyright: ignore[reportArgumentType] - no weight has a setting's name
    else:
        with np.load(kept) as stored:
            weights = dict(stored)
        kinds = {"torch": Torch, "torch-compile": TorchCompile, "openvino": OpenVino}
        engine = kinds[arguments.engine](arguments, weights)
    pre, _ = images(arguments.image_size)
    shown = pre[: arguments.batch if arguments.task == "sample" else BATCH]
    drift = engine.answer(shown, np.full((len(shown), 1), 0.5, np.float32))
    print(json.dumps({"answer": drift.astype(float).ravel()[::97].tolist()}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        getattr(engine, line.strip())()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


def start(engine: str, arguments: argparse.Namespace, setting: dict[str, object]) -> subprocess.Popen[str]:
    """Start the process of an engine."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in setting.items()]
    threads = str(arguments.threads)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": threads}
    environment |= {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": "1"}
    command = [sys.executable, __file__, arguments.task, f"--engine={engine}", *given]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def told(process: subprocess.Popen[str], request: str = "") -> dict:
    """Ask a process and return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    if request:
        process.stdin.write(f"{request}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"an engine ended: {process.args}")
    return json.loads(line)


def measure(arguments: argparse.Namespace, image_size: int, precision: str, batch: int) -> None:
    """Measure one setting and print it."""
    with tempfile.TemporaryDirectory() as folder:
        setting = {
            "image_size": image_size, "precision": precision, "batch": batch, "threads": arguments.threads,
            "base_filters": arguments.base_filters, "steps": arguments.steps, "weights": f"{folder}/weights.npz",
        }  # fmt: skip
        processes, answers = {}, {}
        for engine in ENGINES[arguments.task]:
            processes[engine] = start(engine, arguments, setting)
            answers[engine] = np.array(told(processes[engine])["answer"])  # weights are there for the next one
        scale = np.abs(answers["tfdrift"]).max()
        for engine, found in answers.items():
            off = np.abs(found - answers["tfdrift"]).max() / scale
            if off > TOLERANCE[precision]:
                raise SystemExit(f"{engine} answers something else: off by {off:.2g} of the largest drift")
        for process in processes.values():
            told(process, "run")  # traces, compiles and warms up
        seconds = {engine: [] for engine in processes}
        gemm = []
        for number in range(arguments.rounds):
            engines = list(processes)
            for engine in engines[number % len(engines) :] + engines[: number % len(engines)]:
                seconds[engine].append(told(processes[engine], "run")["seconds"])
            rates = [told(processes[engine], "gemm")["seconds"] for engine in ("tfdrift", "torch")]
            gemm.append(2 * GEMM**3 / min(rates) / 1e9)
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    done = BATCH * arguments.steps if arguments.task == "train" else batch
    what = f"batch {BATCH}, {arguments.steps} steps" if arguments.task == "train" else f"{batch} at a time"
    print(f"\n{arguments.task}, {image_size} px, {arguments.base_filters} filters, {precision}, {what}")
    print(f"{'engine':14} {'images/s':>9}   tfdrift's time over its: median [least, most]")
    for engine, values in seconds.items():
        ratios = [ours / theirs for ours, theirs in zip(seconds["tfdrift"], values, strict=True)]
        spread = f"{statistics.median(ratios):6.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        print(f"{engine:14} {done / statistics.median(values):9.0f}   {spread if engine != 'tfdrift' else ''}")
    print(f"matrix product of {GEMM} x {GEMM} in these turns: {statistics.median(gemm):.0f} GFLOP/s", flush=True)


def main() -> None:
    """Read the command line; start an engine, or start and compare all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=ENGINES)
    parser.add_argument("--image-size", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--precision", nargs="+", choices=TOLERANCE, default=list(TOLERANCE))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="of `sample`; `train` takes 64")
    parser.add_argument("--base-filters", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10, help="of `train`, a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        for name in ("image_size", "precision", "batch"):
            setattr(arguments, name, getattr(arguments, name)[0])
        return child(arguments)
    names = ("tensorflow", "keras", "torch", "openvino", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"{platform.machine()}, {arguments.threads} threads, Python {platform.python_version()}, {versions}")
    batches = [BATCH] if arguments.task == "train" else arguments.batch
    for setting in itertools.product(arguments.image_size, arguments.precision, batches):
        measure(arguments, *setting)
    return None


if __name__ == "__main__":
    main()
