"""What a subnet costs: one number with a unit in its name for each arch."""
