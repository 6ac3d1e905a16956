"""The two-input U-Net, and how its outputs become a prediction."""
