"""Hemorrhages of the five subtypes: random sampling, mass effect, painting into a section."""
