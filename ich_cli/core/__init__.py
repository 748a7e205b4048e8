"""The shared core: knows no terminal and no web page. Imports go strictly downward."""
