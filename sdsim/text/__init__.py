"""Full scale: models of the paper's sizes, trained on text, and used."""
