"""Question answering over texts, asked once and twice: prompts, scores, statistics, models."""
