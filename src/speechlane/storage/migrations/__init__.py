"""The schema's history, applied when the database is opened; one file a revision, never edited once released."""
