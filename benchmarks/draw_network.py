"""Draw the U-Net of each kind of heads, and count its parameters, from the layers of the real model.

    python benchmarks/draw_network.py

Writes `docs/figures/unet_<heads>.svg` and `.png` and the tables between the markers of `docs/network.md`. The same
layers give the same bytes of SVG. Each SVG says in its description which layer has which shape, so that a test can
compare the committed figure with the model.
"""

import re
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, PathPatch, Polygon
from matplotlib.path import Path as Outline

from tfdrift.config import TrainConfig
from tfdrift.model.heads import HEADS
from tfdrift.model.unet import build_unet

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLE_FILTERS = (8, 16, 32, 64)
BEGIN, END = "<!-- begin: written by benchmarks/draw_network.py -->", "<!-- end -->"

COLOURS = {
    "input": "#f2f2f2", "convolution": "#f3cf7a", "pooling": "#d9705f", "transposed": "#6fa8c9", "copy": "#f2f2f2",
    "dense": "#93b77d", "map": "#93b77d", "output": "#a58bc4",
}  # fmt: skip
MEANINGS = {
    "recon": "Method 1: post image\nMethod 2: noise $\\epsilon$",
    "drift": "both methods:\npost $-$ pre",
}
AXES = {
    "shared": {"encoder": 0.0, "decoder": 0.0},
    "decoupled": {"encoder": 0.0, "recon_decoder": 1.5, "drift_decoder": -1.5},
    "independent": {"recon_encoder": 2.1, "recon_decoder": 2.1, "drift_encoder": -2.1, "drift_decoder": -2.1},
}
ACTIVATIONS = {"relu": "ReLU", "linear": "no activation"}
GAP, LANE, CORNER, DEPTH = 0.5, 0.24, 0.15, 0.16
FONT_SIZE = 10.5


class Box(NamedTuple):
    """One layer as it is drawn.

    Args:
        layer: its name in the model.
        kind: a key of `COLOURS`, or `concatenation`, which is drawn as its two inputs side by side.
        words: what it does, for the legend.
        shape: of its output without the batch.
        inputs: names of the layers it takes.
    """

    layer: str
    kind: str
    words: str
    shape: tuple[int, ...]
    inputs: tuple[str, ...]


def network_boxes(model: keras.Model) -> dict[str, Box]:
    """Return every layer of the model, by name, in the model's order."""
    boxes = {}
    for layer in model.layers:
        kind, words = _describe(layer)
        taken = [] if kind == "input" else layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = tuple(tensor._keras_history.operation.name for tensor in taken)
        boxes[layer.name] = Box(layer.name, kind, words, tuple(layer.output.shape[1:]), inputs)
    return boxes


def describe_shapes(boxes: dict[str, Box]) -> str:
    """Return `layer 32x32x16` for each layer, the text a figure carries of itself."""
    return "; ".join(f"{box.layer} {'x'.join(map(str, box.shape))}" for box in boxes.values())


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Return the number of parameters of the parts of the model: time, encoder, bottleneck, decoder, outputs."""
    counts: dict[str, int] = dict.fromkeys(("time", "encoder", "bottleneck", "decoder", "outputs"), 0)
    for layer in model.layers:
        part = next((part for part in ("time", "bottleneck", "decoder", "encoder") if part in layer.name), "outputs")
        counts[part] += layer.count_params()
    return counts


def parameter_tables() -> str:
    """Return the Markdown tables of `docs/network.md`: totals for several sizes, and the default size part by part."""
    default = TrainConfig(method="method1")
    size, depth = default.image_size, default.depth
    counted = {
        (filters, heads): count_parameters(build_unet(size, base_filters=filters, depth=depth, heads=heads))
        for filters in sorted({*TABLE_FILTERS, default.base_filters})
        for heads in HEADS
    }
    lines = [
        f"Parameters at depth {depth}; the image size does not change them.",
        "",
        "| base filters | filters of the stages | " + " | ".join(f"`{heads}`" for heads in HEADS) + " |",
        "|---:|---|" + "---:|" * len(HEADS),
    ]
    for filters in sorted({filters for filters, _ in counted}):
        stages = ", ".join(str(filters * 2**stage) for stage in range(depth + 1))
        totals = " | ".join(f"{sum(counted[filters, heads].values()):,}" for heads in HEADS)
        name = f"{filters} (default)" if filters == default.base_filters else str(filters)
        lines.append(f"| {name} | {stages} | {totals} |")
    lines += [
        "",
        f"Where they are at {default.base_filters} base filters:",
        "",
        "| part | " + " | ".join(f"`{heads}`" for heads in HEADS) + " |",
        "|---|" + "---:|" * len(HEADS),
    ]
    for part in counted[default.base_filters, "shared"]:
        cells = " | ".join(f"{counted[default.base_filters, heads][part]:,}" for heads in HEADS)
        lines.append(f"| {part} | {cells} |")
    return "\n".join(lines)


def with_tables(document: str, tables: str) -> str:
    """Return the document with the text between its markers replaced.

    Raises:
        ValueError: the markers are not there exactly once.
    """
    before, begin, rest = document.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in old + after:
        raise ValueError(f"the document needs {BEGIN} and {END} once each")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def draw_network(model: keras.Model) -> Figure:
    """Draw the model: a block for each layer, higher for a larger image and wider for more filters."""
    drawing = _Drawing(network_boxes(model), AXES[model.name.removeprefix("unet_")])
    return drawing.figure()


def write_figure(path: Path, heads: str) -> None:
    """Write `path`.svg and `path`.png of the network at its default size."""
    default = TrainConfig(method="method1")
    model = build_unet(default.image_size, base_filters=default.base_filters, depth=default.depth, heads=heads)
    about = {"Date": None, "Title": f"U-Net, {heads} heads", "Description": describe_shapes(network_boxes(model))}
    frame = {"bbox_inches": "tight", "pad_inches": 0.08}
    with matplotlib.rc_context({"svg.hashsalt": "tfdrift", "svg.fonttype": "path", "mathtext.fontset": "cm"}):
        figure = draw_network(model)
        figure.savefig(path.with_suffix(".svg"), metadata=about, **frame)
        figure.savefig(path.with_suffix(".png"), metadata={"Software": None}, dpi=110, **frame)


def _describe(layer: keras.Layer) -> tuple[str, str]:
    """Return (kind, words) of a layer, from its own settings."""
    match layer:
        case keras.layers.InputLayer():
            return "input", "input"
        case keras.layers.Conv2DTranspose():
            side, activation = layer.kernel_size[0], ACTIVATIONS[layer.activation.__name__]
            return "transposed", f"transposed convolution {side}×{side}, stride {layer.strides[0]}, {activation}"
        case keras.layers.Conv2D():
            side, activation = layer.kernel_size[0], ACTIVATIONS[layer.activation.__name__]
            return ("output" if layer.name in MEANINGS else "convolution"), f"convolution {side}×{side}, {activation}"
        case keras.layers.MaxPooling2D():
            return "pooling", f"max-pooling {layer.pool_size[0]}×{layer.pool_size[0]}"
        case keras.layers.Dense():
            return "dense", f"Dense({layer.units}, {ACTIVATIONS[layer.activation.__name__]}), broadcast"
        case keras.layers.RepeatVector() | keras.layers.Reshape():
            return "map", "broadcast"
        case keras.layers.Concatenate():
            return "concatenation", "concatenation"
    raise TypeError(f"no picture for a layer of type {type(layer).__name__}")


class _Drawing:
    """Where each block stands; blocks of one resolution touch, and an arrow leads to the next resolution."""

    def __init__(self, boxes: dict[str, Box], axes: dict[str, float]) -> None:
        self._boxes = boxes
        self._axes = axes
        self._side = boxes["image"].shape[0]
        self._figure = Figure()
        self._canvas = self._figure.add_axes((0, 0, 1, 1))
        self._place: dict[str, tuple[float, float, float, float]] = {}

    def figure(self) -> Figure:
        encoders = [part for part in self._axes if part.endswith("encoder")]
        decoders = [part for part in self._axes if part.endswith("decoder")]
        self._block("image", 0.0, 0.0)
        x, low, width, _ = self._place["image"]
        words = f"image $x_t$\n{self._size('image')}"
        self._canvas.text(x + width / 2, low - 0.08, words, ha="center", va="top", fontsize=FONT_SIZE, linespacing=1.3)
        ends = {part: self._encoder(part) for part in encoders}
        for part in decoders:
            source = encoders[0] if len(encoders) == 1 else part.replace("decoder", "encoder")
            self._decoder(part, f"{source}_bottleneck_conv2", ends[source])
        self._outputs()
        self._time(encoders)
        self._legend()
        self._fit()
        return self._figure

    def _encoder(self, part: str) -> float:
        """Place an encoder up to its bottleneck and return where it ends."""
        y, x = self._axes[part], self._right("image") + GAP + 0.2
        groups = [[f"{part}{stage}_conv1", f"{part}{stage}_conv2"] for stage in range(self._depth())]
        for stage in range(1, self._depth()):
            groups[stage].insert(0, f"{part}{stage - 1}_pool")
        last = f"{part}{self._depth() - 1}_pool"
        groups.append([last, f"{part}_time_map", f"{part}_bottleneck_conv1", f"{part}_bottleneck_conv2"])
        before = "image"
        for group in groups:
            self._arrow(before, x, y)
            for layer in group:
                x = self._block(layer, x, y)
            self._label_size(group)
            before, x = group[-1], self._right(group[-1]) + GAP
        return x

    def _decoder(self, part: str, before: str, x: float) -> None:
        y = self._axes[part]
        for stage in reversed(range(self._depth())):
            up, copied = self._boxes[f"{part}{stage}_skip"].inputs
            group = [up, f"{part}{stage}_skip", f"{part}{stage}_conv1", f"{part}{stage}_conv2"]
            self._arrow(before, x, y)
            x = self._block(up, x, y)
            x = self._block(group[1], x, y, shape=self._boxes[copied].shape, kind="copy")
            for layer in group[2:]:
                x = self._block(layer, x, y)
            self._label_size(group)
            self._skip(copied, group[1], lane=self._depth() - stage, below=part.startswith("drift"))
            before, x = group[-1], self._right(group[-1]) + GAP

    def _outputs(self) -> None:
        for name, offset in (("recon", 1.3), ("drift", -1.3)):
            source = self._boxes[name].inputs[0]
            shared = sum(source in box.inputs for box in self._boxes.values()) > 1
            y = self._centre(source)[1] + (offset if shared else 0.0)
            x = self._right(source) + GAP + (0.25 if shared else 0.0)
            self._arrow(source, x, y)
            self._block(name, x, y)
            right = self._right(name) + 0.3
            self._canvas.text(right, y + 0.08, f"{name} {self._size(name)}", fontsize=FONT_SIZE, fontweight="bold")
            self._canvas.text(right, y, MEANINGS[name], va="top", fontsize=FONT_SIZE, linespacing=1.35)

    def _time(self, encoders: list[str]) -> None:
        """Draw t -> Dense -> the map beside the bottleneck's features; two networks have t between them."""
        maps = [self._place[f"{part}_time_map"] for part in encoders]
        x = maps[0][0] + maps[0][2] / 2
        shared = len(encoders) == 1
        t_y = self._axes[encoders[0]] - 1.75 if shared else 0.0
        for part, (_, bottom, _, height) in zip(encoders, maps, strict=True):
            above = not shared and self._axes[part] < 0  # the lower network has its time above it
            units = self._boxes[f"{part}_time"].shape[-1]
            middle = t_y + (0.8 if not above else -0.8)
            half_height, half_width = 0.13, 0.42
            corners = [(x - half_width, middle - half_height), (x + half_width, middle - half_height),
                       (x + half_width, middle + half_height), (x - half_width, middle + half_height)]  # fmt: skip
            self._canvas.add_patch(Polygon(corners, facecolor=COLOURS["dense"], edgecolor="0.25", lw=0.8, zorder=6))
            self._canvas.text(x, middle, f"{units}", ha="center", va="center", fontsize=FONT_SIZE, zorder=7)
            sign = -1 if above else 1
            edge = bottom if not above else bottom + height + 0.09
            self._line([(x, t_y + sign * 0.2), (x, middle - sign * half_height)], arrow=True)
            self._line([(x, middle + sign * half_height), (x, edge)], arrow=True)
        self._canvas.text(x, t_y, "$t$", ha="center", va="center", fontsize=FONT_SIZE + 4)
        self._canvas.text(x + 0.2, t_y, "time in [0, 1]", ha="left", va="center", fontsize=FONT_SIZE)

    def _block(self, name: str, x: float, y: float, *, shape: tuple[int, ...] | None = None, kind: str = "") -> float:
        """Draw a layer's output as a block seen from the side and return where the next one may touch it."""
        side, _, filters = shape or self._boxes[name].shape
        kind = kind or self._boxes[name].kind
        height = 2.1 * (side / self._side) ** 0.7
        width = max(0.052 * filters**0.5, 0.11)
        deep = DEPTH * height
        base = to_rgb(COLOURS[kind])
        left, right, low, high = x, x + width, y - height / 2, y + height / 2
        style = {"edgecolor": "0.25", "lw": 0.7, "zorder": 3, "linestyle": "--" if kind == "copy" else "-"}
        faces = (
            ([(left, low), (right, low), (right, high), (left, high)], 1.0),
            ([(left, high), (right, high), (right + deep, high + deep), (left + deep, high + deep)], 1.1),
            ([(right, low), (right + deep, low + deep), (right + deep, high + deep), (right, high)], 0.82),
        )
        for corners, light in faces:
            colour = tuple(min(1.0, part * light) for part in base)
            self._canvas.add_patch(Polygon(corners, facecolor=colour, joinstyle="round", **style))
        if filters > 1:
            self._canvas.text(
                x + width / 2,
                y,
                str(filters),
                rotation=90,
                ha="center",
                va="center",
                fontsize=FONT_SIZE - 1.5,
                zorder=4,
            )
        self._place[name] = (x, low, width, height)
        return right

    def _skip(self, source: str, target: str, *, lane: int, below: bool) -> None:
        """Draw a skip connection as an arc outside of all blocks, the finest stage outermost."""
        x0, low0, width0, height0 = self._place[source]
        x1, low1, width1, height1 = self._place[target]
        axis = self._centre(target)[1]
        if below:
            start, end = (x0 + width0 / 2, low0), (x1 + width1 / 2, low1)
            level = axis - 1.05 - 0.15 - LANE * lane
        else:
            deep0, deep1 = DEPTH * height0, DEPTH * height1
            start = (x0 + width0 / 2 + deep0 / 2, low0 + height0 + deep0 / 2)
            end = (x1 + width1 / 2 + deep1 / 2, low1 + height1 + deep1 / 2)
            level = axis + 1.05 + 0.4 + LANE * lane
        self._line([start, (start[0], level), (end[0], level), end], arrow=True, colour="0.45")

    def _arrow(self, source: str, x: float, y: float) -> None:
        """Draw the way to the next resolution, bent half way where that stands on another axis."""
        x0, y0 = self._right(source), self._centre(source)[1]
        points = [(x0 + 0.03, y0), (x - 0.02, y)]
        if y0 != y:
            # Between two axes the bend stays left of the target, where no block stands.
            bend = x - GAP / 2
            points = [(x0 + 0.03, y0), (bend, y0), (bend, y), (x - 0.02, y)]
        self._line(points, arrow=True)

    def _line(self, points: list[tuple[float, float]], *, arrow: bool, colour: str = "0.15") -> None:
        vertices, codes = [points[0]], [Outline.MOVETO]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            vertices += [_towards(corner, before), corner, _towards(corner, after)]
            codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
        outline = Outline([*vertices, points[-1]], [*codes, Outline.LINETO])
        self._canvas.add_patch(PathPatch(outline, fill=False, edgecolor=colour, lw=1.1, zorder=5))
        if arrow:
            tip = _towards(points[-1], points[-2], 0.01)
            self._canvas.add_patch(
                FancyArrowPatch(tip, points[-1], arrowstyle="-|>", mutation_scale=9, color=colour, lw=1.1, zorder=5,
                                shrinkA=0, shrinkB=0)
            )  # fmt: skip

    def _label_size(self, group: list[str]) -> None:
        """Write the resolution of a group on the side without skip connections, or left of them."""
        x, low, _, height = self._place[group[0]]
        last, _, width, _ = self._place[group[-1]]
        y = self._centre(group[0])[1]
        middle, deep = (x + last + width) / 2, DEPTH * height
        if y < 0:
            place, across, upright = (middle + deep / 2, low + height + deep + 0.05), "center", "bottom"
        elif min(self._axes.values()) < y < max(self._axes.values()):  # skip connections above and below
            place, across, upright = (last + width / 2 - 0.06, low - 0.07), "right", "top"
        else:
            place, across, upright = (middle, low - 0.07), "center", "top"
        side = self._boxes[group[-1]].shape[0]
        self._canvas.text(*place, f"{side}×{side}", ha=across, va=upright, fontsize=FONT_SIZE - 1, color="0.3")

    def _legend(self) -> None:
        handles, seen = [], set()
        for box in self._boxes.values():
            if box.kind in ("input", "map") or box.kind in seen:
                continue
            seen.add(box.kind)
            if box.kind == "concatenation":
                handles.append(
                    Patch(
                        facecolor=COLOURS["copy"],
                        edgecolor="0.25",
                        ls="--",
                        label="copy from the encoder, concatenated",
                    )
                )
            else:
                handles.append(Patch(facecolor=COLOURS[box.kind], edgecolor="0.25", label=box.words))
        self._handles = handles

    def _fit(self) -> None:
        """Give the figure the size of what is in it, an inch a unit, with the legend below."""
        self._canvas.set_axis_off()
        self._canvas.set_aspect("equal")
        self._canvas.autoscale_view()
        (left, right), (low, high) = self._canvas.get_xlim(), self._canvas.get_ylim()
        left, right, low, high = left - 0.4, right + 1.6, low, high
        self._canvas.set(xlim=(left, right), ylim=(low - 0.55, high))
        self._figure.set_size_inches(right - left, high - low + 0.55)
        self._canvas.legend(
            handles=self._handles, loc="lower center", ncols=3, frameon=False, fontsize=FONT_SIZE, handlelength=1.4
        )

    def _size(self, name: str) -> str:
        return "×".join(map(str, self._boxes[name].shape))

    def _depth(self) -> int:
        return len({name for name in self._boxes if re.fullmatch(r"(recon_)?encoder\d+_pool", name)})

    def _right(self, name: str) -> float:
        x, _, width, height = self._place[name]
        return x + width + DEPTH * height / 2

    def _centre(self, name: str) -> tuple[float, float]:
        x, low, width, height = self._place[name]
        return x + width / 2, low + height / 2


def _towards(corner: tuple[float, float], other: tuple[float, float], distance: float = CORNER) -> tuple[float, float]:
    """Return the point at `distance` from the corner on the way to the other point, at most half way."""
    across, along = other[0] - corner[0], other[1] - corner[1]
    length = (across**2 + along**2) ** 0.5
    share = min(distance / length, 0.5) if length else 0.0
    return corner[0] + share * across, corner[1] + share * along


def main() -> None:
    """Write the figures and the tables."""
    for heads in HEADS:
        write_figure(DOCS / "figures" / f"unet_{heads}", heads)
    document = DOCS / "network.md"
    document.write_text(with_tables(document.read_text(encoding="utf-8"), parameter_tables()), encoding="utf-8")


if __name__ == "__main__":
    main()
