"""Anatomy of a head without hemorrhage: skull, brain, ventricles, and mimics of blood."""
