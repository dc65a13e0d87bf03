"""The revisions in order: 0001, 0002, ..."""
