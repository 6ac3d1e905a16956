"""An evaluation as files, numbers for programs and a page for people, and the few lines that a command prints.

metrics.json    every score
metrics.csv     a row for each slice and method
lesions.csv     a row for each lesion and method: volumes and response
report.md       the page, with its pictures as .png beside it
report.html     the same page in one file
"""

import base64
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import markdown
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tfdrift.cohort.samples import Samples
from tfdrift.config import read_config
from tfdrift.drawing.figure import png_bytes
from tfdrift.evaluation.answers import Answers, answer, ask, load_shared_samples, of_oracle, refuse_training_seed
from tfdrift.evaluation.assessment import as_attainable, assess, attainable_score
from tfdrift.evaluation.document import FILE, Metrics, as_json
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.page import compose, held_out, title_of
from tfdrift.evaluation.pictures import draw_lesions, draw_pictures
from tfdrift.evaluation.results import LESIONS, Results, as_csv, slice_columns
from tfdrift.files import write_whole, writing
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import Oracle, ask_oracle

DRESSED_OUTCOMES = 16


def evaluate_run(folder: Path, *, samples: Samples | None = None) -> Metrics:
    """Score a run on its held-out fold: `metrics.json` and `preview.png` in its folder.

    Scored is one outcome of each slice, or the mean of `DRESSED_OUTCOMES` where they are answers with drawn errors.

    Args:
        folder: the run folder.
        samples: the run's data, if they are at hand.

    Returns:
        What stands in `metrics.json`.

    Raises:
        DataError: no run, no checkpoint, or other data than it was trained on.
        ResourceError: the folder cannot be written.
    """
    return write_scores(folder, ask(folder, load_shared_samples([folder], samples), count=scored_outcomes(folder)))


def scored_outcomes(folder: Path) -> int:
    """Return how many outcomes of each slice are scored when a run is.

    Args:
        folder: the run folder.

    Raises:
        DataError: it is none.
    """
    return 1 if read_config(folder / "config.json")[0].dressing == "none" else DRESSED_OUTCOMES


def write_scores(folder: Path, answers: Answers) -> Metrics:
    """Write the scores of a run into its folder, those of the first outcome: what a single request gets.

    Where outcomes are answers with drawn errors it is their mean, see `Answers.has_drawn_errors`.

    Args:
        folder: the run folder.
        answers: of the run about its held-out fold.

    Raises:
        ResourceError: the folder cannot be written.
    """
    single = answers if answers.has_drawn_errors else answers.first_outcome()
    metrics = assess(single).metrics
    predicted = {"post": single.post.mean(axis=0), "drift": single.drift.mean(axis=0)}
    errors = squared_errors(predicted["post"], single.held_out.post)
    preview = png_bytes(draw_lesions(single.held_out, predicted, errors))
    _write(folder, {"preview.png": preview, FILE: as_json(metrics).encode()})
    return metrics


def evaluate(
    folders: Sequence[Path],
    out: Path,
    *,
    against: Sequence[Path] = (),
    count: int = 16,
    samples: Samples | None = None,
    new_patients: NewPatients | None = None,
) -> Metrics:
    """Score a run, or an ensemble of runs, as `score` does, and write the report.

    Args:
        folders: run folders; several are one ensemble.
        out: folder of the report.
        against: run folders of other methods on the same data and fold, to be compared with.
        count: outcomes of each slice.
        samples: the runs' data, if they are at hand; what can be attained by their patients is then not known.
        new_patients: patients of the phantom to be drawn and scored instead of the held-out fold.

    Returns:
        What stands in `metrics.json`.

    Raises:
        DataError: see `score`.
        UsageError: see there.
        ResourceError: the folder cannot be written.
    """
    results, ours = score(folders, against=against, count=count, samples=samples, new_patients=new_patients)
    write_report(out, results, ours)
    return results.metrics


def score(
    folders: Sequence[Path],
    *,
    against: Sequence[Path] = (),
    count: int = 16,
    samples: Samples | None = None,
    new_patients: NewPatients | None = None,
) -> tuple[Results, Answers]:
    """Score a run, or an ensemble of runs, on its held-out patients or on new ones.

    On new patients one who knows their law is asked beside the method, the row `oracle`.

    Args:
        folders: see `evaluate`.
        against: see there.
        count: see there.
        samples: see there.
        new_patients: see there.

    Returns:
        The scores, and what was answered.

    Raises:
        DataError: no run, no checkpoint, other data, a run was trained on patients that are tested here, or new
            patients do not have what a network asks for.
        UsageError: an ensemble of different methods, or of the same run twice, or the new patients are the run's own.
    """
    drawn = None
    if new_patients is not None:
        config, _ = read_config(folders[0] / "config.json")
        refuse_training_seed(new_patients, config)
        drawn = _drawn(new_patients, config.image_size)
    shared = load_shared_samples([*folders, *against], samples)
    ours = answer(folders, shared, count=count, drawn=drawn)
    others: list[Answers] = []
    for folder in against:
        found = answer([folder], shared, count=count, drawn=drawn)
        taken = {ours.label, *(other.label for other in others)}
        label = f"{found.label} ({folder.name})" if found.label in taken else found.label
        others.append(dataclasses.replace(found, label=label))
    attainable = true_movement = None
    if new_patients is not None:
        oracle = _oracle(new_patients, ours.config.image_size)
        true_movement, foreseeable = _movement(new_patients, ours.config.image_size)
        others.append(of_oracle(oracle.post, ours, foreseeable))
        attainable = as_attainable(oracle.attainable)
    elif samples is None:
        attainable = attainable_score(ours.config, set(ours.held_out.patient.tolist()))
    results = assess(ours, others, attainable=attainable, new_patients=new_patients, true_movement=true_movement)
    return results, ours


# One set of new patients at a time is kept: `tfdrift reproduce` scores many runs on the same ones.
@functools.lru_cache(maxsize=1)
def _drawn(new: NewPatients, image_size: int) -> Samples:
    return new.draw(image_size)


@functools.lru_cache(maxsize=1)
def _oracle(new: NewPatients, image_size: int) -> Oracle:
    return ask_oracle(
        image_size=image_size,
        patients=new.patients,
        seed=new.data_seed,
        law=new.law,
        pairs=new.pairs,
        lesion_as=new.lesion,
    )


@functools.lru_cache(maxsize=1)
def _movement(new: NewPatients, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    return new.movement(image_size)


def write_report(folder: Path, results: Results, answers: Answers) -> None:
    """Write all files of an evaluation; `metrics.json` comes last, so that where it stands the others are complete.

    Args:
        folder: made when it is missing.
        results: what was found.
        answers: what was evaluated, for the pictures of lesions.

    Raises:
        ResourceError: the folder cannot be written.
    """
    metrics = results.metrics
    pictures = {name: png_bytes(figure) for name, figure in draw_pictures(metrics, answers).items()}
    page = compose(metrics, pictures)
    files = {
        **{f"{name}.png": data for name, data in pictures.items()},
        "metrics.csv": as_csv(results.slices, slice_columns()).encode(),
        "lesions.csv": as_csv(results.lesions, LESIONS).encode(),
        "report.md": page.encode(),
        "report.html": as_html(page, title_of(metrics), pictures).encode(),
        FILE: as_json(metrics).encode(),
    }
    _write(folder, files)


def as_html(page: str, title: str, pictures: Mapping[str, bytes]) -> str:
    """Return the page as one HTML file that needs nothing else: no script, no file beside it, no network.

    Args:
        page: of `compose`.
        title: plain text, for the window.
        pictures: PNG files by name.
    """
    body = markdown.markdown(page, extensions=["tables"], output_format="html")
    for name, data in pictures.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{base64.b64encode(data).decode()}"')
    templates = Environment(
        loader=PackageLoader("tfdrift.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return templates.get_template("report.html").render(title=title, body=Markup(body))


def in_short(metrics: Metrics, folder: Path) -> str:
    """Return the few lines that `tfdrift evaluate` and `tfdrift crossval` print.

    Args:
        metrics: of the evaluation.
        folder: where the report is.
    """
    shown = {name: found["skill"] for name, found in metrics.scored.items()}
    width = max(map(len, shown))
    lines = [
        f"held out         {held_out(metrics)}",
        "skill over copy  (0: as good as no change; 1: perfect; 95% over patients)",
        *(f"  {name:{width}}  {skill.words()}" for name, skill in shown.items() if name != "copy"),
    ]
    if metrics.attainable:
        lines.append(f"  {'attainable':{width}}  {metrics.attainable.skill:.3f}")
    lines += [entry.sentence for entry in metrics.comparisons]
    lines.append(f"report           {folder / 'report.html'}")
    return "\n".join(lines)


def run_in_short(metrics: Metrics, folder: Path) -> str:
    """Return the lines that `tfdrift train` prints at its end.

    Args:
        metrics: of the run.
        folder: of the run.
    """
    best = metrics.best_level
    lines = [
        f"held out fold {metrics.fold}: {held_out(metrics)}",
        f"skill over copy  {metrics.skill.words()}   (0: as good as no change; 1: perfect; 95% over patients)",
        f"  mean drift     {metrics.mean_drift.skill.words()}",
        f"SSIM             {metrics.ssim:.3f}   copy {metrics.copy.ssim:.3f}",
    ]
    if best.level is not None:
        lines.append(f"best level       {best.level} with skill {best.skill:.3f} (chosen on these patients)")
    lines += [
        f"picture          {folder / 'preview.png'}",
        f"TensorBoard      tensorboard --logdir {folder / 'tensorboard'}",
        f"next             tfdrift export {folder}",
    ]
    return "\n".join(lines)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
