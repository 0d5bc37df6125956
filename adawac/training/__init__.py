"""How a network is trained: the task, its callbacks, what makes it fast."""
