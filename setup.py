"""Installation of tfdrift; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "tfdrift/__init__.py").read_text(encoding="utf-8"), re.M)
assert VERSION is not None
# `tfdrift serve` with its embedded server; see tfdrift/serving/extra.py.
SERVE = ["grpcio-health-checking>=1.68", "prometheus_client>=0.21", "starlette>=0.40", "uvicorn>=0.32"]
# `make docs` and the test of the tutorial.
MANUAL = [
    "mkdocs>=1.6,<2",  # the last that the theme and mkdocstrings are made for
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=1.0",
    "latex2mathml>=3.77",
    "nbformat>=5.10",
    "nbclient>=0.10",
    "ipykernel>=6.29",
]

# `--scheduler` and `tfdrift workers`; see tfdrift/cluster.py.
CLUSTER = ["distributed>=2025.1"]
# benchmarks/peers.py
BENCH = ["torch>=2.13", "openvino>=2026.0"]

setup(
    name="tfdrift",
    version=VERSION.group(1),
    description="Predict how a brain metastasis changes between two MRIs around radiosurgery, with diffusion models",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["tfdrift", "tfdrift.*"]), "tfdrift_cli", "tfdrift.saved_models"],
    package_dir={"tfdrift_cli": "cli", "tfdrift.saved_models": "saved_models"},
    package_data={
        "tfdrift": ["*/templates/*", "app/page/*"],
        # Others in saved_models/ are the user's own. See tfdrift/export/boxed_models.py.
        "tfdrift.saved_models": [
            "direct/*/*",
            "direct/*/assets*/*",
            "direct/*/variables/*",
            "method1/*/*",
            "method1/*/assets*/*",
            "method1/*/variables/*",
            "method2/*/*",
            "method2/*/assets*/*",
            "method2/*/variables/*",
        ],
    },
    entry_points={"console_scripts": ["tfdrift = tfdrift_cli.main:main"]},
    install_requires=[
        "tensorflow>=2.21",
        "keras>=3.14",
        "tensorboard>=2.20",
        "numpy>=2.0",
        "pydicom>=3.0.2",
        "pylibjpeg>=2.0",
        "pylibjpeg-openjpeg>=2.3",  # JPEG 2000
        "pyjpegls>=1.4",  # JPEG-LS
        "SimpleITK>=2.4",
        "scipy>=1.15",
        "scikit-image>=0.24",
        "highdicom>=0.25",
        "tensorflow-datasets>=4.9.9",
        "importlib_resources>=6.0",  # imported by tensorflow-datasets without declaring it
        "pysimdjson>=6.0",  # TF Serving's REST interface
        "orjson>=3.10",
        "click>=8.1",
        "tqdm>=4.66",
        "matplotlib>=3.9",
        "jinja2>=3.1",
        "markupsafe>=2.1",
        "markdown>=3.5",
        "filelock>=3.16",
        "tensorflow-serving-api>=2.19",
        "grpcio>=1.68",
        "protobuf>=6.31.1",  # TensorFlow 2.21's own
    ],
    extras_require={
        "serve": SERVE,
        "cluster": CLUSTER,
        "bench": BENCH,
        "dev": [
            *SERVE,
            *MANUAL,
            *CLUSTER,
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "pyright>=1.1.390",
            "hypothesis>=6.100",
            "psutil>=5.9",
            "nibabel>=5.2",
            "playwright>=1.49",  # drives the page in an installed Chromium
            "pyyaml>=6.0",
            "kubernetes-validate>=1.33",  # Kubernetes' published schemas, for deploy/
            "compose-spec>=0.2",  # the Compose Specification, for deploy/
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
