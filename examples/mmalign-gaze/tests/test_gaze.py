import pytest
from mmalign_gaze.modality import Gaze

from mmalign.testing import checks


@pytest.mark.parametrize("check", checks(Gaze()), ids=str)
def test_gaze_conforms(check):
    check()
