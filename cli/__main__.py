"""`python -m tfdrift_cli` is `tfdrift`."""

from .main import main

main()
