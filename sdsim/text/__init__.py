"""Language models on text: presets of the paper's sizes, pretraining, checkpoints, generation."""
