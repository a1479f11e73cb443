"""What must never happen, row by row: ``rows.tsv`` is the list, and every test here holds some of it."""
