"""What makes a step fast, and nothing else: the compiler, recorded steps, the processor."""
