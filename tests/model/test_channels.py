"""Names of channels."""

from tfdrift.model.channels import with_neighbours


def test_neighbours_are_those_of_the_first_channel_and_stand_behind_it():
    assert with_neighbours(["T1", "FLAIR"]) == ("T1", "T1 below", "T1 above", "FLAIR")
