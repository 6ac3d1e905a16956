"""Makers of broken and hostile files around a small good series and structure set, and what becomes of each.

Run as `python -m tests.imaging.hostile FOLDER`, it reads every case and prints what happened as JSON.
"""

import json
import os
import shutil
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from tests.imaging.mock_dicom import (
    contours_of,
    enhanced_dataset,
    make_grid,
    structures_dataset,
    write,
    write_series,
)
from tfdrift.errors import DataError
from tfdrift.imaging.matching import fits
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import rasterise, read_structures
from tfdrift.importing.catalogue import scan

GRID = make_grid(size=(8, 6, 3))
VOLUME = np.random.default_rng(0).integers(-500, 500, GRID.size[::-1], np.int16)
MASK = np.zeros(GRID.size[::-1], bool)
MASK[1:3, 1:5, 2:7] = True
MASK[1, 2:4, 3:5] = False
TRUNCATIONS = 128
SECONDS = 10


def rescale(dataset: Dataset, _k: int) -> None:
    dataset.RescaleSlope, dataset.RescaleIntercept = "2.25", "-17"


def write_good(root: Path) -> tuple[list[Path], Path]:
    """The series and the structure set that every case is a change of."""
    slices = write_series(root / "good", GRID, VOLUME, rescale)
    structures = write(structures_dataset({"GTV": contours_of(MASK, GRID), "none": []}), root / "rs.dcm")
    return slices, structures


def write_cases(root: Path) -> list[str]:
    """Write every case into a folder of its own and return their names."""
    slices, structures = write_good(root)
    image, plan = slices[1].read_bytes(), structures.read_bytes()
    cases = {}
    for kind, whole in (("image", image), ("structures", plan)):
        for cut in np.linspace(0, len(whole) - 1, TRUNCATIONS).astype(int):
            cases[f"{kind} cut at {cut}"] = whole[:cut]
        for at, byte in flips(whole):
            cases[f"{kind} flip at {at}"] = whole[:at] + bytes([byte]) + whole[at + 1 :]
        for number, (at, length) in enumerate(elements(whole)):
            for vr in (b"UL", b"SQ", b"zz"):
                cases[f"{kind} element {number} is {vr.decode()}"] = whole[: at + 4] + vr + whole[at + 6 :]
            for other in (0, length + 2, 0xFFF0):
                cases[f"{kind} element {number} has {other} bytes"] = (
                    whole[: at + 6] + struct.pack("<H", other) + whole[at + 8 :]
                )
    for name, data in cases.items():
        put(root / "cases" / name, slices, structures, image=data if name.startswith("image") else None, plan=data)
    for name, data in crafted_images(image):
        put(root / "cases" / f"image {name}", slices, structures, image=data)
    for name, data in crafted_plans(plan):
        put(root / "cases" / f"structures {name}", slices, structures, plan=data)
    write_odd_files(root / "cases", slices)
    return sorted(path.name for path in (root / "cases").iterdir())


def put(folder: Path, slices: list[Path], structures: Path, image: bytes | None = None, plan: bytes = b"") -> None:
    """Make one case: the good slices but for a broken second one, or a broken structure set."""
    folder.mkdir(parents=True)
    if folder.name.startswith("structures"):
        (folder / structures.name).write_bytes(plan)
        return
    for file in slices:
        (folder / file.name).hardlink_to(file)
    (folder / slices[1].name).unlink()
    (folder / slices[1].name).write_bytes(image or b"")


def flips(whole: bytes, count=80) -> Iterator[tuple[int, int]]:
    """Places and new values of single bytes, but where any value is as good as the other: pixels, numbers of contours.

    DICOM has no checksum, so a changed grey value or contour coordinate cannot be noticed; nor can the rescale values.
    """
    rng = np.random.default_rng(7)
    pixels, slope, intercept = b"\xe0\x7f\x10\x00OW", b"\x28\x00\x53\x10DS", b"\x28\x00\x52\x10DS"
    contour = b"\x06\x30\x50\x00DS"
    free = [span for marker in (pixels, slope, intercept, contour) for span in spans_of(whole, marker)]
    while count:
        at, byte = int(rng.integers(132, len(whole))), int(rng.integers(256))
        if byte != whole[at] and not any(start <= at < end for start, end in free):
            count -= 1
            yield at, byte


def spans_of(whole: bytes, marker: bytes) -> Iterator[tuple[int, int]]:
    at = whole.find(marker)
    while at >= 0:
        long = marker.endswith(b"OW")
        head, form = (12, "<I") if long else (8, "<H")
        (length,) = struct.unpack_from(form, whole, at + head - struct.calcsize(form))
        yield at + head, at + head + length
        at = whole.find(marker, at + head + length)


def elements(whole: bytes) -> Iterator[tuple[int, int]]:
    """Place and length of each top-level element with a 16-bit length, after the file meta information."""
    at = 132
    while at + 8 <= len(whole):
        if whole[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN"):
            at += 12 + struct.unpack_from("<I", whole, at + 8)[0]
        else:
            (length,) = struct.unpack_from("<H", whole, at + 6)
            if whole[at : at + 2] != b"\x02\x00":
                yield at, length
            at += 8 + length


def element(tag: tuple[int, int], vr: bytes, value: bytes, length: int | None = None) -> bytes:
    head = struct.pack("<HH2s", *tag, vr)
    size = len(value) if length is None else length
    return (
        head + (b"\0\0" + struct.pack("<I", size) if vr in (b"SQ", b"OB", b"UN") else struct.pack("<H", size)) + value
    )


def before(whole: bytes, tag: bytes, extra: bytes) -> bytes:
    at = whole.index(tag, 132)
    return whole[:at] + extra + whole[at:]


def nested(levels: int, *, defined: bool) -> bytes:
    """A sequence in a sequence in a sequence."""
    inner = b""
    for _ in range(levels):
        if defined:
            inner = element((0x0008, 0x1140), b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner)
        else:
            inner = element(
                (0x0008, 0x1140), b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner, 0xFFFFFFFF
            )
    return inner


def deflate_bomb(whole: bytes, megabytes: int) -> bytes:
    syntax = b"1.2.840.10008.1.2.1\0"
    meta_end = min(at for at, _ in elements(whole))
    meta = whole[:meta_end].replace(
        struct.pack("<H", len(syntax)) + syntax, struct.pack("<H", 22) + b"1.2.840.10008.1.2.1.99"
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(element((0x0007, 0x1001), b"OB", b"", megabytes << 20))
    for _ in range(megabytes):
        packed += packer.compress(bytes(1 << 20))
    return fixed_meta(meta) + packed + packer.flush()


def fixed_meta(meta: bytes) -> bytes:
    """Set the group length anew."""
    return meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]


def changed(whole: bytes, **values: object) -> bytes:
    from io import BytesIO

    from pydicom import dcmread

    dataset = dcmread(BytesIO(whole))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(whole: bytes, syntax: str, frame: bytes) -> bytes:
    from io import BytesIO

    from pydicom import dcmread

    dataset = dcmread(BytesIO(whole))
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def crafted_images(image: bytes) -> Iterator[tuple[str, bytes]]:
    pixels = b"\xe0\x7f\x10\x00"
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2_000_000
    for rows, columns in ((65535, 65535), (0, 8), (6, 0), (65535, 1), (1, 48), (48, 1)):
        yield f"of {rows} x {columns}", changed(image, Rows=rows, Columns=columns)
    for frames in (0, 2, 2**31 - 1, -1):
        yield f"of {frames} frames", changed(image, NumberOfFrames=frames)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "Rows", "Columns", "PixelData",
                    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "Modality",
                    "PhotometricInterpretation", "SeriesInstanceUID", "FrameOfReferenceUID",
                    "RescaleSlope"):  # fmt: skip
        yield f"without {keyword}", changed(image, **{keyword: None})
    for keyword, values in {
        "ImageOrientationPatient": (
            ["1", "0", "0", "1", "0", "0"],
            ["1", "0", "0", "0", "2", "0"],
            ["0"] * 6,
            ["1", "0"],
        ),
        "ImagePositionPatient": (["0", "0"], ["1e300", "0", "0"], ["0", "0", "1e-300"]),
        "PixelSpacing": (["0", "0"], ["-1", "1"], ["1e-300", "1"], ["1"], ["1", "1", "1"]),
        "RescaleSlope": ("0", "1e300"),
    }.items():
        for value in values:
            yield f"with {keyword} {value}".replace("/", " "), changed(image, **{keyword: value})
    yield "with slope NaN", image.replace(b"2.25", b"NaN ")
    yield "with slope inf", image.replace(b"2.25", b"inf ")
    yield "with 5000 nested sequences", before(image, pixels, nested(5000, defined=False))
    yield "with 5000 nested sequences of known length", before(image, pixels, nested(5000, defined=True))
    yield "with 2 million items", before(image, pixels, element((0x0009, 0x1001), b"SQ", items))
    yield (
        "with 2 million items of unknown length",
        before(image, pixels, element((0x0009, 0x1001), b"SQ", items, 2**32 - 1)),
    )
    yield "that inflates to 400 MiB", deflate_bomb(image, 400)
    yield "that inflates to nothing", deflate_bomb(image, 0)[:-3]
    size = struct.pack(">HHIIIIIIIIH", 47, 0, 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1)
    yield (
        "as JPEG 2000 of 60000 x 60000",
        compressed(image, JPEG2000Lossless, b"\xff\x4f\xff\x51" + size + b"\x0f\x01\x01"),
    )
    size = struct.pack(">HHIIIIIIIIH", 41, 0, 8, 6, 0, 0, 8, 6, 0, 0, 1)
    yield (
        "as JPEG 2000 of nothing",
        compressed(image, JPEG2000Lossless, b"\xff\x4f\xff\x51" + size + b"\x0f\x01\x01" + bytes(40)),
    )
    yield (
        "as a run-length bomb",
        compressed(image, RLELossless, struct.pack("<16I", 2, 64, 600, *[0] * 13) + b"\x81\0" * 550),
    )


def crafted_plans(plan: bytes) -> Iterator[tuple[str, bytes]]:
    from io import BytesIO

    from pydicom import dcmread

    def with_contour(**values: object) -> bytes:
        dataset = dcmread(BytesIO(plan))
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        for keyword, value in values.items():
            setattr(contour, keyword, value)
        return saved(dataset)

    def saved(dataset: Dataset) -> bytes:
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()

    item = b"\xfe\xff\x00\xe0"
    for number, at in enumerate(at for at in range(len(plan)) if plan.startswith(item, at)):
        (length,) = struct.unpack_from("<I", plan, at + 4)
        for other in (length - 2, length + 8, length + 300):
            yield f"with item {number} of {other} bytes", plan[: at + 4] + struct.pack("<I", other) + plan[at + 8 :]
    yield "with 7 coordinates", with_contour(ContourData=["1"] * 7)
    yield (
        "with slanted contours",
        with_contour(ContourData=["0", "0", "5", "1", "0", "6", "1", "1", "7"], NumberOfContourPoints=3),
    )
    yield "with a contour beyond reach", with_contour(ContourData=["1e9"] * 9, NumberOfContourPoints=3)
    yield (
        "outside the volume",
        with_contour(ContourData=["900", "900", "7", "910", "900", "7", "900", "910", "7"], NumberOfContourPoints=3),
    )
    yield "with an unknown contour type", with_contour(ContourGeometricType="DOE^JANE")
    dataset = dcmread(BytesIO(plan))
    wrong = generate_uid()
    dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = wrong
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = wrong
    yield "in a wrong frame of reference", saved(dataset)
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2_000_000
    yield "with 2 million items", before(plan, b"\x06\x30\x39\x00", element((0x3006, 0x0021), b"SQ", items))
    yield "with 5000 nested sequences", before(plan, b"\x06\x30\x39\x00", nested(5000, defined=False))
    yield "that inflate to 400 MiB", deflate_bomb(plan, 400)


def write_odd_files(cases: Path, slices: list[Path]) -> None:
    """Things that are no files, among the good slices."""
    kinds = (
        "a pipe",
        "a link to itself",
        "links in a circle",
        "a link to nowhere",
        "an unreadable file",
        "an endless file",
    )
    for kind in kinds:
        folder = cases / f"image with {kind}"
        folder.mkdir()
        for file in slices:
            shutil.copy(file, folder)
        odd = folder / "odd.dcm"
        if kind == "a pipe":
            os.mkfifo(odd)
        elif kind == "a link to itself":
            odd.symlink_to(odd)
        elif kind == "links in a circle":
            odd.symlink_to(folder / "other.dcm")
            (folder / "other.dcm").symlink_to(odd)
        elif kind == "a link to nowhere":
            odd.symlink_to(folder / "nothing.dcm")
        elif kind == "an endless file":
            odd.symlink_to("/dev/zero")
        else:
            odd.write_bytes(b"")
            odd.chmod(0)
    whole = cases / "image enhanced with too few frames"
    whole.mkdir()
    write(enhanced_dataset(GRID, VOLUME, [0, 1], [1] * 3), whole / "a.dcm")


def outcome_of(case: Path, good_image: sitk.Image, good_series) -> str:
    """Read a case as a user would: `same` when the result is that of the good files, `other`, or the refusal."""
    try:
        if case.name.startswith("structures"):
            structures = read_structures(case / "rs.dcm")
            reason = fits(structures, good_series)
            if reason:
                return f"refused: {reason}"
            mask, _ = rasterise(structures.rois[0], good_image)
            return "same" if np.array_equal(sitk.GetArrayViewFromImage(mask), MASK) else "other"
        image, series = read_series(case)
        same = np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayViewFromImage(good_image))
        return "same" if same and series.grid == good_series.grid else "other"
    except DataError as error:
        return f"refused: {error}"


def main(root: Path) -> None:
    """Read and scan every case and print, for each, what happened and the seconds it took."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    good_image, good_series = read_series(root / "good")
    outcomes = {}
    for case in sorted((root / "cases").iterdir()):
        signal.alarm(6 * SECONDS)  # ends a case that waits for ever, and the test with it
        start = time.process_time()  # a busy machine does not make a case slower
        outcome = outcome_of(case, good_image, good_series)
        read_seconds = time.process_time() - start
        found = scan(case)
        listed = sum(len(one.files) for p in found.patients for s in p.studies for one in s.series)
        listed += sum(len(s.structure_sets) for p in found.patients for s in p.studies)
        listed += sum(len(files) for p in found.patients for s in p.studies for files in s.others.values())
        outcomes[case.name] = {
            "outcome": outcome,
            "seconds": max(read_seconds, time.process_time() - start - read_seconds),
            "lost_by_scan": found.num_files - listed - len(found.refused),
        }
    signal.alarm(0)
    # getrusage would count the process that started this one as well: its peak is kept across fork and exec.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_bytes = 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(json.dumps({"peak_bytes": peak_bytes, "cases": outcomes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
