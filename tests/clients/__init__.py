"""Real client programs against the running demo: ``make clients``. One file a program in ``programs/``."""
