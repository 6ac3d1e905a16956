import pytest

from tfdrift.errors import UsageError
from tfdrift.reproduction.experiments import EXPERIMENTS, FIGURES, chosen_experiments


def test_names_are_unique_within_an_experiment():
    for experiment in EXPERIMENTS.values():
        labels = [(run.label, run.settings.get("law"), run.settings.get("steps")) for run in experiment.runs]
        assert len(labels) == len(set(labels))


def test_all_stands_for_the_figures_of_the_paper_in_order():
    assert [experiment.name for experiment in chosen_experiments(["all", "fig5", "table"])] == [*FIGURES, "table"]


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="fig9: choose from all, fig1b"):
        chosen_experiments(["fig9"])


def test_every_figure_of_the_paper_with_results_is_there():
    names = ["fig1b", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "s1", "s2", "s3", "s4", "s5"]
    assert [name for name in EXPERIMENTS if name.startswith(("fig", "s"))] == names
