import dataclasses

from tfdrift.reproduction.experiment import MINUTES
from tfdrift.reproduction.experiments import EXPERIMENTS
from tfdrift.reproduction.paper_experiments import METHOD2


def test_time_counts_a_shared_run_once_and_every_fold():
    assert EXPERIMENTS["fig5"].minutes() == 3 * MINUTES["shared"]
    assert EXPERIMENTS["fig7"].minutes(folds=3) == 3 * MINUTES["decoupled"]
    asked_twice = dataclasses.replace(METHOD2, label="again", asked={"drift_from": "last"})
    fig6 = dataclasses.replace(EXPERIMENTS["fig6"], runs=(METHOD2, asked_twice))
    assert fig6.minutes() == EXPERIMENTS["fig6"].minutes()


def test_the_command_of_an_experiment_names_it():
    assert EXPERIMENTS["fig5"].command == "tfdrift reproduce fig5"
