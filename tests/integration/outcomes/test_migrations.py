import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from outcomes.migrate import downgrade, upgrade
from outcomes.tables import METADATA

pytestmark = pytest.mark.integration


def test_the_migrations_make_the_tables_that_the_code_knows_and_can_be_undone(database_url: str) -> None:
    engine = create_engine(database_url)
    for _ in range(2):
        upgrade(database_url)
        upgrade(database_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, METADATA) == []
            assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
            assert "outcomes_state" in {
                check["name"] for check in inspect(connection).get_check_constraints("outcomes")
            }
        downgrade(database_url)
        with engine.connect() as connection:
            assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()
