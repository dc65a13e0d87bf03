"""The pure parts of a job: states, options, chunks cut at silences, merge, quality gates, manifest."""
