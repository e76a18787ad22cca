import pytest
from mmalign_conse.conse import ConSE

from mmalign.testing import checks


@pytest.mark.parametrize("check", checks(ConSE()), ids=str)
def test_conse_conforms(check):
    check()
