"""Gradio page and HTTP API of ``ich serve``; they use the same `Predictor` as the commands."""
