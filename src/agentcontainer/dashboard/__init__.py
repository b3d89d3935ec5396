"""The built pages of the dashboard, in `static/`: written by `make ui`, contained in the wheel, not in git."""
