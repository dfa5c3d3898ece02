"""What the errors of the driver and its pool mean to the ledger."""

import pytest
from sqlalchemy.exc import TimeoutError as NoneFree

from outcomes.db.errors import LedgerBusy
from outcomes.db.translation import translated


def test_a_pool_with_no_connection_free_tells_nothing_of_the_database() -> None:
    with pytest.raises(LedgerBusy, match="connection pool is exhausted"), translated():
        raise NoneFree
