"""A trained run as a versioned SavedModel for TF Serving."""
