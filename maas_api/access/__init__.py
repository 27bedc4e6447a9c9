"""Who may see and call which model: one decision."""
