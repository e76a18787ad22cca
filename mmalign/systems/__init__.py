"""What every comparison system shares: its rows, its choices, and the fitted thing."""
