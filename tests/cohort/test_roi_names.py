import pytest

from tfdrift.cohort.roi_names import compile_pattern, is_gtv_name
from tfdrift.errors import UsageError

LESIONS = """
GTV|GTV1|gtv_left_frontal|GTV 2 L parietal|Met 3|BM_2|1_GTV|Lesion 4|GTV-1|GTV_L_temp|GTVp|GTVLeft|GTV_brainstem|
Brain Met 3|metastasis_1|Tumor 2|tumour|GTV 10 subcortical|Lesion No 4|GTV optic nerve|Left GTV|02 gtv|3GTV|GTV_T1Gd|
GTV Temporal|BM1|les_GTV
"""
OTHERS = """
PTV|PTV1|CTV_2|zPTV_GTV|GTV+2mm|GTV_2mm|GTV 3 mm|GTV1 exp|GTV_ring|GTVring|Ring GTV1|rind_GTV|GTV shell|Brain|Brainstem|
Skull|External|BODY|Brain-GTV|Brain - GTV|brain minus GTV|Brain_not_GTV|GTV_total|GTVs|GTVsum|All GTV|sum of lesions|
GTV_opt|GTV_old|GTV edema|GTV oedema|Tumor bed|resection cavity|Optic chiasm|Hippocampus_L|Cochlea|Dose 100[%]|
Isocenter|zGTV1|GTV1+GTV2|method|metal|BMI|lesions||Couch|Lens_R|necrotic core of lesion 2
"""


def table(names):
    return names.strip().replace("\n", "").split("|")


@pytest.mark.parametrize("name", table(LESIONS))
def test_names_of_lesions_are_taken(name):
    assert is_gtv_name(name)


@pytest.mark.parametrize("name", table(OTHERS))
def test_other_names_are_left_out(name):
    assert not is_gtv_name(name)


def test_a_pattern_replaces_the_default_and_ignores_case():
    pattern = compile_pattern("^haupt")
    assert is_gtv_name("Haupttumor", pattern)
    assert not is_gtv_name("GTV1", pattern)


def test_a_broken_pattern_is_a_usage_error():
    with pytest.raises(UsageError, match="--roi is not a regular expression: missing"):
        compile_pattern("GTV(")
