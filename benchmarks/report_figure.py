"""Draw docs/figures/predict/report.png: the top of the report of `tfdrift predict` for a patient of the phantom.

    python benchmarks/report_figure.py

It takes the model of saved_models/direct, and Chromium to show the page.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import predict_patient
from tfdrift.files import write_whole
from tfdrift.synthetic.phantom_dicom import write_phantom

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/figures/predict/report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, COLOURS = 1100, 1640, 256
PATIENT = 2  # the first with several lesions


def show(page: Path, folder: Path) -> Image.Image:
    """Return what a browser shows of the top of a page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is on the PATH; install Chromium")
    picture = folder / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    command = [browser, *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return Image.open(picture).convert("RGB")


def main() -> None:
    """Write a patient, predict, and keep the picture of the report."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_phantom(folder / "clinic", patients=PATIENT + 1)
        visit = sorted((folder / "clinic").glob("*/*_pre"))[PATIENT]
        (rtstruct,) = (visit / "RTSTRUCT").iterdir()
        model = LocalModel(ROOT / "saved_models/direct")
        predict_patient(model, series_dir=visit / "MR_T1", rtstruct=rtstruct, out=folder / "prediction")
        picture = show(folder / "prediction/report.html", folder).quantize(COLOURS)
        bytes_ = io.BytesIO()
        picture.save(bytes_, "PNG", optimize=True)
        write_whole(PICTURE, bytes_.getvalue())
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
