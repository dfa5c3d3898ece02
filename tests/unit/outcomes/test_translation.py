"""Translation of driver and pool errors."""

import pytest
from sqlalchemy.exc import TimeoutError as NoneFree

from outcomes.db.errors import LedgerBusy
from outcomes.db.translation import translated


def test_an_exhausted_pool_is_busy_and_not_unavailable() -> None:
    with pytest.raises(LedgerBusy, match="connection pool is exhausted"), translated():
        raise NoneFree
