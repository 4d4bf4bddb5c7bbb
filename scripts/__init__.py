"""Commands of the project: `python -m scripts.<name>`."""
