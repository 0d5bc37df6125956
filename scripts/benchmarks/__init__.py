"""One benchmark a file: `add_arguments` says its options, `run` measures, prints its table and returns the record."""
