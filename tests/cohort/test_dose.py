import numpy as np

from tfdrift.cohort.channels import scale_channel, scalings
from tfdrift.cohort.dose import DOSE, DOSE_UNIT_GY


def test_the_dose_is_on_no_scale_of_its_own():
    crops = np.array([0.5, 1, 2], np.float32).reshape(3, 1, 1, 1) * np.float32(DOSE_UNIT_GY)
    assert scalings(("T1", DOSE))[1] == "dose"
    assert scale_channel(crops, DOSE).ravel().tolist() == [0.5, 1, 2]
