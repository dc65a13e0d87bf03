"""What owns tasks, queues and the clock: the live driver, the durable workflow, the worker."""
