"""The page driven in a real browser, as its user does: choosing, waiting, looking, saving, and what goes wrong."""

import contextlib
import filecmp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clinic.patients import CALIBRATION, noisy, write_formula, write_patient
from tests.clinic_export import write_clinic
from tests.prepared_cohort import write_cohort
from tests.random_samples import make_samples
from tfdrift.app.desk import sweep
from tfdrift.model.conditions import fit_conditions

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("TFDRIFT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no Chromium; apt-get install chromium", allow_module_level=True)

PICTURES = os.environ.get("TFDRIFT_PAGE_PICTURES")
"""Folder to write pictures of the page to, such as docs/figures/app."""

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
ROOT = Path(__file__).parents[2]
AXE = Path(__file__).parent / "axe.min.js"
LESIONS = {"GTV 1": {"offset_mm": (-6, 0, 0), "radius_mm": 4.5}, "GTV 2": {"offset_mm": (6, 0, 0), "radius_mm": 4}}
NAME = "Zyxwvut"


@contextlib.contextmanager
def served(base: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run `tfdrift app` and give its address and its process."""
    command = [sys.executable, "-m", "tfdrift_cli", "app", "--no-browser"]
    for name in ("root", "models", "runs"):
        command += [f"--{name}", str(base / name)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(base)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as ran:
        assert ran.stdout is not None
        found = re.search(r"http\S+", ran.stdout.readline())
        assert found is not None
        try:
            yield found[0], ran
        finally:
            ran.send_signal(signal.SIGINT)
            said, _ = ran.communicate(timeout=60)
            assert NAME not in said


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A disk with a patient, an export of two patients, a calibrated model, and nothing else."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "root").mkdir()
    write_patient(folder / f"root/{NAME}", lesions=LESIONS)
    write_clinic(folder / "root/clinic", [2, 4], spacing_mm=6.0)
    write_cohort(folder / "root/small", make_samples(size=16))
    (folder / "root/letters").mkdir()
    (folder / "root/letters/letter.txt").write_text("no image")
    write_formula(folder / "models/chancy", noisy, tfdrift="1", calibration=CALIBRATION, data={"patients": 39})
    days = fit_conditions(["interval_days"], {"interval_days": np.array([20.0, 90.0])})
    write_formula(folder / "models/told", noisy, tfdrift="1", data={"patients": 39}, conditions=days)
    return folder


@pytest.fixture(scope="module")
def address(base) -> Iterator[str]:
    with served(base) as (found, _):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser, address) -> Iterator[Any]:
    yield from opened(browser, address)


def opened(browser, address: str, **settings: Any) -> Iterator[Any]:
    """Give a page that is open and that may neither complain nor ask anybody else for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
    context.set_default_timeout(120_000)
    faults: list[str] = []
    found = context.new_page()
    found.on("pageerror", lambda fault: faults.append(str(fault)))
    found.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    server = address.split("#")[0]
    found.on(
        "request",
        lambda asked: faults.append(asked.url) if not asked.url.startswith((server, "data:", "blob:")) else None,
    )
    found.goto(address)
    found.wait_for_selector("section.work:not([hidden])")
    yield found
    context.close()
    assert [fault for fault in faults if "net::ERR" not in fault and "status of 4" not in fault] == []


def turn_to(page, name: str) -> None:
    page.click(f"nav a[href='#{name}']")
    page.wait_for_selector(f"#{name}:not([hidden])")


def choose(page, *folders: str) -> None:
    """Choose a folder in the dialog, from the top."""
    page.wait_for_selector("#picker[open] #picker-trail:not(:empty)")
    while page.is_enabled("#picker-up"):
        before = page.inner_text("#picker-trail")
        page.click("#picker-up")
        page.wait_for_function("text => document.querySelector('#picker-trail').innerText !== text", arg=before)
    for folder in folders:
        page.get_by_role("button", name=f"▸ {folder}", exact=True).click()
        page.wait_for_function("text => document.querySelector('#picker-trail').innerText.endsWith(text)", arg=folder)
    page.click("#picker-ok")


def look_for_faults(page, part: str) -> None:
    """Let axe-core look for what people who do not see, or use no mouse, would miss."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (one["id"], [node["html"][:120] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == [], part


def picture(page, name: str) -> None:
    """Keep a picture of the page, where pictures are asked for."""
    if PICTURES:
        page.wait_for_timeout(800)
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def shows_colour(page, selector: str) -> bool:
    """Whether an image on the page has both grey and coloured pixels, once drawn; read off the screen, as people do."""
    import io

    import PIL.Image

    until = time.monotonic() + 20
    while time.monotonic() < until:
        shown = PIL.Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
        pixels = np.array(shown).astype(int)
        spread = pixels.max(axis=-1) - pixels.min(axis=-1)
        grey = (spread < 12) & (pixels.max(axis=-1) > 60)
        if grey.mean() > 0.01 and (spread > 60).mean() > 0.002:
            return True
    return False


def test_a_patient_from_choosing_to_saving(page, base):
    turn_to(page, "patient")
    assert page.is_disabled("#predict")
    page.click("#choose-dicom")
    choose(page, NAME)
    page.wait_for_selector("#patient-state li button")
    assert page.locator("#patient-state li").count() == 2
    assert page.inner_text("#model-about").endswith("Its intervals are calibrated.")
    page.click("#predict")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_function("() => document.querySelector('.legend').innerText.includes('scanner units')")
    assert page.locator("#lesions tbody td button").all_inner_texts() == ["GTV 1", "GTV 2"]
    assert "[" in page.locator("#lesions td.number").nth(1).inner_text()
    assert shows_colour(page, "#patient-viewer .screen")
    page.select_option("#map", "lesion_probability")
    page.wait_for_function("() => document.querySelector('.legend').innerText.includes('share')")
    page.fill("#level", "75")
    assert "75% of the outcomes" in page.inner_text(".tools")
    page.fill("#outcome", "3")
    assert page.locator("#lesions svg circle").count() == 2
    before = page.inner_text(".viewer .foot")
    page.focus("#patient-viewer canvas")
    page.keyboard.press("PageUp")
    page.wait_for_function("text => document.querySelector('.viewer .foot').innerText !== text", arg=before)
    look_for_faults(page, "patient")
    page.click("#save")
    page.fill("#picker-name", "kept")
    choose(page)
    page.wait_for_selector("#save-state .good")
    document = json.loads((base / "root/kept/prediction.json").read_text())
    assert [lesion["name"] for lesion in document["lesions"]] == ["GTV 1", "GTV 2"]
    (written,) = base.glob("tfdrift-app-*/*/prediction")
    compared = filecmp.dircmp(written, base / "root/kept")
    assert compared.left_only + compared.right_only + compared.diff_files == []
    assert NAME not in page.url
    report = page.get_attribute("#report", "href")
    assert NAME not in report
    answer = page.request.get(page.url.split("#")[0] + report.lstrip("/"))
    assert "sandbox" in answer.headers["content-security-policy"]
    assert b"GTV 1" in answer.body()


def test_a_model_that_is_told_days_is_asked_for_several(page):
    turn_to(page, "patient")
    page.click("#choose-dicom")
    choose(page, NAME)
    page.wait_for_selector("#patient-state li button")
    assert page.locator("[data-given]").count() == 0
    page.select_option("#model", "told")
    assert "Seen in training: 20 to 90" in page.inner_text("#given-interval_days-about")
    page.fill("#given-interval_days", "20, 80")
    page.click("#predict")
    page.wait_for_selector("#case")
    assert "20 days after the first MRI" in page.inner_text("#cases")
    page.fill("#case", "1")
    assert "80 days after the first MRI" in page.inner_text("#cases")


def test_the_address_gives_up_its_token_and_opens_nothing_without_it(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(address.split("#")[0])
    page.wait_for_selector("#closed:not([hidden])")
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#patient:not([hidden])")
    assert address.split("#")[1] not in page.url
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    context.close()


def test_a_wrong_folder_is_said_and_another_can_be_chosen(page):
    turn_to(page, "patient")
    page.click("#choose-dicom")
    choose(page, "letters")
    page.wait_for_selector("#scan-found .error")
    assert "There is no DICOM in this folder" in page.inner_text("#scan-found")
    turn_to(page, "cohort")
    page.click("#choose-export")
    choose(page, "letters")
    page.wait_for_selector("#export-state .error")
    assert page.is_hidden("#import-form")
    page.click("#choose-cohort")
    choose(page, "letters")
    page.wait_for_selector("#open-state .error")
    assert "no cohort" in page.inner_text("#open-state")


def test_a_cohort_from_choosing_to_leaving_out_a_wrong_pair(page, base):
    turn_to(page, "cohort")
    page.click("#choose-export")
    choose(page, "clinic")
    page.wait_for_selector("#import-form:not([hidden])")
    assert "2 patients of 2" in page.inner_text("#export-state")
    page.locator("#export-found summary").first.click()
    assert "T1" in page.inner_text("#export-found")
    page.click("#import-form button.main")
    page.wait_for_selector("#cards .card")
    lesions = page.locator("#cards .card").count()
    assert lesions >= 2
    assert page.locator("#cards .trio canvas").count() == 3 * lesions
    page.locator("#cards .card button").first.click()
    page.wait_for_selector("#pair .eye canvas")
    page.wait_for_function("() => document.querySelector('#pair .foot').innerText.includes('mm')")
    assert shows_colour(page, "#pair .screen")
    eyes = page.locator("#pair .eye")
    places = [eyes.nth(number).get_attribute("data-place") for number in range(2)]
    assert places[0] == places[1]
    page.focus("#pair canvas")
    page.keyboard.press("PageUp")
    page.wait_for_function("place => document.querySelector('#pair .eye.later').dataset.place !== place", arg=places[1])
    assert eyes.nth(0).get_attribute("data-place") == eyes.nth(1).get_attribute("data-place")
    page.get_by_role("button", name="Swipe").click()
    page.fill("#swipe", "30")
    assert "30%" in page.locator("#pair .eye").nth(1).get_attribute("style")
    page.locator("#cards .mark-wrong").first.click()
    page.wait_for_selector("#cards .card.wrong")
    look_for_faults(page, "cohort")
    rows = (base / "root/cohort.wrong_pairs.csv").read_text().splitlines()
    assert len(rows) == 2
    page.get_by_role("button", name="Import again without the wrong pairs").click()
    assert page.input_value("#import-name") == "cohort-2"
    assert "Leaves out 1 pair called wrong in cohort.wrong_pairs.csv" in page.inner_text("#import-without")


def test_a_training_from_starting_to_its_scores(page, base):
    turn_to(page, "training")
    page.wait_for_selector("#runs .empty")
    look_for_faults(page, "training, empty")
    page.get_by_label("A cohort").check()
    page.click("#choose-train-cohort")
    choose(page, "small")
    page.wait_for_function("() => document.querySelector('#train-cohort-chosen').innerText === 'small'")
    page.fill("#train-name", "first")
    page.fill("#train-steps", "2000000")
    page.locator("#training summary").first.click()
    page.fill("#train-image-size", "16")
    page.fill("#train-base-filters", "2")
    page.click("#train-form button.main")
    page.wait_for_selector("#run-shown polyline[points*=' ']")
    page.click("[data-run=stop]")
    page.wait_for_selector("[data-run=resume]")
    assert "stopped at step" in page.inner_text("#run-shown")
    assert list((base / "runs/first/checkpoints").iterdir())
    look_for_faults(page, "training")


def test_a_server_that_dies_is_said_and_its_commands_do_not_stay(base, browser, tmp_path):
    (tmp_path / "root").mkdir()
    shutil.copytree(base / f"root/{NAME}", tmp_path / "root/patient")
    with served(tmp_path) as (address, ran):
        pages = opened(browser, address)
        page = next(pages)
        ran.send_signal(signal.SIGKILL)
        page.wait_for_selector("#dead:not([hidden])")
        page.click("#choose-dicom")
        page.wait_for_function("() => document.querySelector('#picker-error').innerText.includes('does not answer')")
    (left,) = tmp_path.glob("tfdrift-app-*")
    sweep(tmp_path)  # which the next server begins with
    assert not left.exists()


def test_two_pages_at_once_and_a_prediction_that_is_stopped(page, browser, address, base):
    others = opened(browser, address, color_scheme="dark")
    other = next(others)
    assert other.evaluate("document.documentElement.dataset.theme") == "dark"
    for one in (page, other):
        turn_to(one, "patient")
        one.click("#choose-dicom")
        choose(one, NAME)
    for one in (page, other):
        one.wait_for_selector("#patient-state li button")
    before = set(base.glob("tfdrift-app-*/*/prediction"))
    page.click("#predict")
    page.wait_for_selector("#predict-state progress")
    other.wait_for_function("() => document.querySelector('#running').innerText.includes('1 command running')")
    assert other.locator("#predict-state progress").count() == 0
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => document.querySelector('#predict-state').innerText.includes('stopped')")
    assert set(base.glob("tfdrift-app-*/*/prediction")) == before
    assert list(base.glob("tfdrift-app-*/*/.prediction.staging")) == []
    assert page.is_enabled("#predict")
    look_for_faults(other, "patient, dark")
    for _ in others:
        pass


@pytest.mark.skipif(not PICTURES, reason="TFDRIFT_PAGE_PICTURES names no folder to write pictures to")
@pytest.mark.skipif(not (ROOT / "saved_models/method1").is_dir(), reason="saved_models/method1 is not there")
def test_pictures_for_the_documents(browser, tmp_path):
    (tmp_path / "root").mkdir()
    write_clinic(tmp_path / "root/clinic", [2, 3, 4, 6], spacing_mm=1.2)
    shutil.copytree(ROOT / "saved_models/method1", tmp_path / "models/method1")
    with served(tmp_path) as (address, _):
        pages = opened(browser, address)
        page = next(pages)
        page.set_default_timeout(600_000)
        picture(page, "empty")
        page.click("#choose-dicom")
        choose(page, "clinic")
        page.locator("#scan-found input").first.check()
        page.wait_for_selector("#patient-state li button")
        page.click("#predict")
        page.wait_for_selector("#result:not([hidden])")
        page.fill("#zoom", "2.5")
        page.set_viewport_size({"width": 1280, "height": 1080})
        page.evaluate("scrollTo(0, 0)")
        picture(page, "patient")
        page.click("#theme")
        page.select_option("#map", "lesion_probability")
        picture(page, "patient-dark")
        page.click("#theme")
        page.set_viewport_size({"width": 820, "height": 1100})
        picture(page, "tablet")
        page.set_viewport_size({"width": 1280, "height": 1000})
        turn_to(page, "cohort")
        page.click("#choose-export")
        choose(page, "clinic")
        page.wait_for_selector("#import-form:not([hidden])")
        picture(page, "scan")
        page.click("#import-form button.main")
        page.wait_for_selector("#cards .card")
        page.locator("#cards .mark-wrong").nth(1).click()
        page.evaluate("document.querySelector('#cards').scrollIntoView()")
        picture(page, "cohort")
        page.locator("#cards .card button").first.click()
        page.wait_for_function("() => document.querySelector('#pair .foot')?.innerText.includes('first')")
        page.get_by_role("button", name="Swipe").click()
        page.evaluate("document.querySelector('#pair').scrollIntoView()")
        picture(page, "swipe")
        page.get_by_role("button", name="Train on it").click()
        page.fill("#train-name", "clinic")
        page.get_by_label("Synthetic phantom").check()
        page.fill("#train-steps", "700")
        page.locator("#training summary").first.click()
        page.fill("#train-image-size", "16")
        page.fill("#train-base-filters", "4")
        page.locator("#training summary").first.click()
        page.click("#train-form button.main")
        page.wait_for_selector("#run-shown caption")
        page.wait_for_selector("[data-run=export]")
        picture(page, "training")
        page.click("[data-run=export]")
        page.wait_for_selector("#run-shown .good, #run-shown .error")
        turn_to(page, "patient")
        page.wait_for_function("() => document.querySelectorAll('#model option').length === 2")
        for _ in pages:
            pass


@pytest.mark.parametrize("width", [1280, 820])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for part in ("cohort", "training", "patient"):
        turn_to(page, part)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, part
