"""Question answering over texts, asked once and twice: prompts, scores, statistics, models."""

from pathlib import Path

HARNESS_TASKS = Path(__file__).with_name("harness_tasks")
"""A folder of external tasks, for ``lm_eval --include_path``."""
