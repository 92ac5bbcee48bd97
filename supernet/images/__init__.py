"""Images with labels: where they lie, how they are split and checked, and what a network takes."""
