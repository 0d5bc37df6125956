"""Files in and out: volumes of every format, whole or not at all, and no larger than they may be."""
