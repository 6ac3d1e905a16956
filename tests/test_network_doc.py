"""The pages about the network and the paper say what the code does: tables, figures, and every name they cite."""

import ast
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.draw_network import draw_network, network_boxes, parameter_tables, with_tables, write_figure
from tfdrift.config import TrainConfig, train_config
from tfdrift.diffusion.schedule import SCHEDULES, alpha_bar, make_schedule
from tfdrift.model.heads import HEADS
from tfdrift.model.unet import build_unet

ROOT = Path(__file__).resolve().parent.parent
NETWORK = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")


def default_network(heads):
    config = train_config("method1")
    return build_unet(config.image_size, base_filters=config.base_filters, depth=config.depth, heads=heads)


def computed_shapes(model):
    """The shape of what each layer gives when the network runs on two images."""
    side = model.input["image"].shape[1]
    every = keras.Model(model.input, {layer.name: layer.output for layer in model.layers})
    arrays = every({"image": np.zeros((2, side, side, 1), np.float32), "t": np.zeros((2, 1), np.float32)})
    return {name: tuple(array.shape[1:]) for name, array in arrays.items()}


def test_the_parameter_tables_are_those_of_the_model():
    assert with_tables(NETWORK, parameter_tables()) == NETWORK


@pytest.mark.parametrize("heads", HEADS)
def test_the_committed_figure_shows_the_shapes_that_the_model_computes(heads):
    svg = ElementTree.parse(ROOT / "docs" / "figures" / f"unet_{heads}.svg")
    description = svg.find(".//{http://purl.org/dc/elements/1.1/}description")
    assert description is not None
    drawn = dict(entry.split(" ") for entry in (description.text or "").split("; "))
    computed = computed_shapes(default_network(heads))
    assert drawn == {name: "x".join(map(str, shape)) for name, shape in computed.items()}


@pytest.mark.parametrize("heads", HEADS)
def test_each_layer_with_filters_is_a_block_with_their_number(heads):
    model = build_unet(12, base_filters=3, depth=2, heads=heads)
    shapes = computed_shapes(model)
    # Broadcasting is one block, and a concatenation is its two inputs side by side: in a decoder the second is a copy.
    expected = Counter(
        shapes[layer.name][-1] // (2 if layer.name.endswith("_skip") else 1)
        for layer in model.layers
        if not layer.name.endswith(("_with_time", "_time_repeat")) and layer.name not in ("image", "t", *model.output)
    )
    numbers = [text.get_text() for text in draw_network(model).axes[0].texts]
    assert Counter(int(number) for number in numbers if number.isdigit()) == expected


@pytest.mark.parametrize("heads", HEADS)
def test_skip_connections_join_equal_resolutions(heads):
    boxes = network_boxes(default_network(heads))
    skips = [box for box in boxes.values() if box.layer.endswith("_skip")]
    assert len(skips) == {"shared": 3, "decoupled": 6, "independent": 6}[heads]
    for box in skips:
        up, copied = (boxes[name] for name in box.inputs)
        assert copied.layer.split("_conv")[0].endswith(f"encoder{re.findall(r'[0-9]', box.layer)[0]}")
        assert up.shape == copied.shape


def test_the_same_model_gives_the_same_bytes_without_a_date(tmp_path):
    write_figure(tmp_path / "first", "shared")
    write_figure(tmp_path / "second", "shared")
    first = (tmp_path / "first.svg").read_bytes()
    assert first == (tmp_path / "second.svg").read_bytes()
    assert b"<dc:date>" not in first


def test_a_layer_without_a_picture_is_refused():
    image = keras.Input((4, 4, 1), name="image")
    with pytest.raises(TypeError, match="no picture for a layer of type Flatten"):
        network_boxes(keras.Model(image, keras.layers.Flatten()(image)))


@pytest.mark.parametrize("document", ["no markers", NETWORK + NETWORK])
def test_a_page_without_its_markers_once_is_refused(document):
    with pytest.raises(ValueError, match="once each"):
        with_tables(document, "")


def definitions(file):
    """`function`, `Class`, `Class.method`, `Class.field` and `CONSTANT` of a module, without importing it."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (item.name for item in node.body if isinstance(item, ast.FunctionDef))
            fields = (ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign))
            found |= {f"{node.name}.{name}" for name in (*methods, *fields)}
        if isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
    return found


@pytest.mark.parametrize("page", [NETWORK, PAPER], ids=["network", "paper"])
def test_every_function_that_is_named_exists(page):
    packages = "config|imaging|diffusion|model|cohort|training|evaluation|serving"
    names = set(re.findall(rf"`((?:{packages})\.[A-Za-z_.]+)`", page))
    assert names
    missing = set()
    for name in names:
        parts = name.split(".")
        module_parts = 1 if parts[0] == "config" else 2
        file = ROOT.joinpath("tfdrift", *parts[:module_parts]).with_suffix(".py")
        if not file.exists() or (parts[module_parts:] and ".".join(parts[module_parts:]) not in definitions(file)):
            missing.add(name)
    assert not missing


@pytest.mark.parametrize("page", [NETWORK, PAPER], ids=["network", "paper"])
def test_every_test_that_is_named_exists(page):
    missing = set()
    for path, name in re.findall(r"`(tests/[a-z_/]+\.py)(?:::(\w+))?`", page):
        if not (ROOT / path).exists() or (name and name not in definitions(ROOT / path)):
            missing.add(f"{path}::{name}")
    assert not missing


@pytest.mark.parametrize("page", [NETWORK, PAPER], ids=["network", "paper"])
def test_every_option_that_is_named_exists(page):
    options = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(TrainConfig)}
    assert set(re.findall(r"(?<![\w!<-])--[a-z][a-z0-9-]*", page)) <= options | {"--data", "--preset"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_papers_schedule_three_ways_has_the_numbers_of_the_table(name):
    row = re.search(rf"^\| `{name}` \|.*$", PAPER, re.MULTILINE)
    assert row is not None
    schedule = make_schedule(name, levels=21, noise_level=0.2)
    signal, noise = schedule.signal_rate[-1], schedule.noise_rate[-1]
    expected = [alpha_bar(name, 21)[0], alpha_bar(name, 21)[-1], signal, noise, signal / noise]
    assert [cell.strip() for cell in row[0].split("|")[3:-1]] == [f"{number:.3g}" for number in expected]
