"""What lasts: the database, its migrations, the object store, and the same seams in memory."""
