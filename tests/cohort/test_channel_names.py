import pytest

from tfdrift.cohort.channel_names import ChannelRule, read_channels
from tfdrift.errors import UsageError


@pytest.mark.parametrize(
    ("name", "pattern", "fits", "does_not"),
    [
        ("FLAIR", "", ["t2_flair_tra", "Ax FLAIR FS", "T2 dark-fluid"], ["t2_tse", "T1 MPRAGE"]),
        ("T2", "", ["t2_tse_tra", "Sag T2", "T2W T2"], ["T2 FLAIR", "t2*", "AT2", "T20"]),
        ("DWI", "", ["dwi_b1000", "EP2D DWI"], ["dwix"]),
        ("T2", "^ax.*t2", ["AX T2 FLAIR"], ["t2_tse"]),
    ],
)
def test_a_series_is_known_by_a_word_or_a_pattern(name, pattern, fits, does_not):
    rule = ChannelRule(name=name, pattern=pattern)
    assert [text for text in [*fits, *does_not] if rule.fits(["", text])] == fits


@pytest.mark.parametrize("text", ["", " "])
def test_nothing_asked_for_is_the_one_channel_of_old(text):
    assert read_channels(text) == ("T1", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("T1,", "a name is a letter"),
        ("T1,Doe Jane", "a name is a letter"),
        ("T1,Dose", "the dose is called dose"),
        ("dose", "the first channel is the MRI"),
        ("T1,T2,t2", "it comes twice"),
        ("T1=mprage,T2", "the first channel is the series that lesions are drawn on"),
        ("T1,T2=(", "no regular expression"),
        ("T1,T2=", "say by what"),
        ("T1,dose=plan", "RTDOSE objects have no such name"),
    ],
)
def test_what_names_no_channels_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        read_channels(text)


def test_a_pattern_is_not_in_the_message():
    with pytest.raises(UsageError) as refused:
        read_channels("T1,T2=Doe(")
    assert "Doe" not in str(refused.value)
