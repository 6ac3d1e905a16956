import pytest

from tfdrift.errors import UsageError
from tfdrift.importing.target_names import is_target

LESIONS = """GTV|GTV1|gtv_left_frontal|GTV 2 L parietal|Met 3|BM_2|BM2|1_GTV|2GTV|GTVp|GTVn1|Lesion 4|lesion|METS 1
Metastasis R temporal|metastases|GTV_Mass_MR_T1|GTV-1|GTV brainstem|GTV brainstem-left|Brain met 1|Brain_Metastasis_2
01 GTV cerebellum|GTV_T1c|R frontal met|*GTV 7|GTV#3|(GTV)|GTV subcortical|GTV1 optic""".replace("\n", "|").split("|")

OTHERS = """PTV|PTV 1|PTV_GTV1|CTV_GTV|ITV|GTV+2mm|GTV + 2|GTV_exp2mm|GTV 3mm|GTV expanded|GTV ring|GTVring|GTV1_ring
Brain|Brainstem|brain-GTV|Brain - GTV|brain minus GTV|Brainstem-GTV|Normal Brain-Mets|Skull|External|Dose 50%|Dose GTV
GTV_old|GTV copy|GTV_bak|GTV total|GTV_all|GTV opt|zOpti GTV|GTV1-PTV1|PRV|Method|Cometary|Bmp|Metal|Lesional|Eye_L|
GTV edema|submet|Lens|GTV 1 (predicted, research)|predicted GTV""".replace("\n", "|").split("|")


@pytest.mark.parametrize("name", LESIONS)
def test_default_takes_the_name_of_a_single_tumour(name):
    assert is_target(name)


@pytest.mark.parametrize("name", OTHERS)
def test_default_leaves_out_what_is_no_single_tumour(name):
    assert not is_target(name)


@pytest.mark.parametrize("name", ["GTV Left", "Metastasis 2", "PTV 1", "GTV ring"])
def test_case_does_not_matter(name):
    assert is_target(name.lower()) == is_target(name.upper()) == is_target(name)


def test_own_pattern_is_searched_anywhere_in_the_name():
    assert is_target("left Tumor 2", "tumou?r")
    assert not is_target("GTV 2", "tumou?r")


def test_refuses_a_pattern_that_is_no_regular_expression():
    with pytest.raises(UsageError, match=r"'GTV\(' is not a regular expression: missing \)"):
        is_target("GTV", "GTV(")
