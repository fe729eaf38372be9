"""``python -m partwise.cli``."""

from partwise.cli import main

raise SystemExit(main())
