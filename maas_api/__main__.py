"""``python -m maas_api``."""

from maas_api.cli import main

main()
