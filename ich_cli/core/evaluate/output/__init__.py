"""Files that ``ich evaluate --output`` writes: page, figures, tables, card section, metrics."""
