"""What the hardware allows, what a step costs, and what therefore holds it back."""
