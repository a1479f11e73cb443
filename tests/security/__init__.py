"""What must never happen: ``requirements.tsv`` is the list, and every test here proves some of it."""
