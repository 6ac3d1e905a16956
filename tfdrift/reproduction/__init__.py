"""The paper's figures and our tables, by name."""
