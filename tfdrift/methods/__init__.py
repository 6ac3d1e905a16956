"""The methods that predict the second MRI, one file each."""
