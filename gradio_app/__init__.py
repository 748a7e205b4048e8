"""The Gradio demo over the same Predictor as the command line."""
