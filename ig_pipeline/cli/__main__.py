"""`python -m ig_pipeline.cli`, the same as the console script."""

from ig_pipeline.cli.main import main

main()
