"""How alembic runs here: inside the connection and transaction that `Database.open` hands over."""

from __future__ import annotations

from alembic import context

from speechlane.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
