"""A run to a blessed, versioned SavedModel."""
