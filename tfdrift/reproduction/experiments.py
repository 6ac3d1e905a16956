"""Every experiment by its name; `tfdrift.reproduction.reproduce` runs them."""

from collections.abc import Sequence

from tfdrift.errors import UsageError
from tfdrift.reproduction import paper_experiments, table_experiments
from tfdrift.reproduction.experiment import Experiment
from tfdrift.reproduction.new_patients import experiments as new_patients_experiments

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (*paper_experiments.FIGURES, *table_experiments.TABLES, *new_patients_experiments.EXPERIMENTS)
}
"""Every experiment by its name, in the paper's order; the tables are ours."""

FIGURES = tuple(experiment.name for experiment in paper_experiments.FIGURES)
"""What `tfdrift reproduce all` makes."""


def chosen_experiments(names: Sequence[str]) -> list[Experiment]:
    """Return experiments by name, each once; `all` stands for every figure of the paper.

    Raises:
        UsageError: an unknown name.

    Example:
        >>> [experiment.name for experiment in chosen_experiments(["fig5", "fig4", "fig5"])]
        ['fig5', 'fig4']
    """
    spelt_out = [one for name in names for one in (FIGURES if name == "all" else (name,))]
    for name in spelt_out:
        if name not in EXPERIMENTS:
            raise UsageError(f"{name}: choose from all, {', '.join(EXPERIMENTS)}")
    return [EXPERIMENTS[name] for name in dict.fromkeys(spelt_out)]
