"""PhantomHead without hemorrhage: skull, brain, ventricles, and findings that look like blood."""
