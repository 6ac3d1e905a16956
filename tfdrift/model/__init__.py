"""The networks: what they are given, what they are made of, what their outputs share.

channels    what the channels of an image are, by name
inputs      channels, slices and conditions of a run's images
columns     what is known of the columns that a network may be given
conditions  numbers of context, standardised, and classes, or unknown
limits      sizes and precisions that a network can be built for
heads       what the two outputs share
unet        the U-Net of the paper, in two or three dimensions
"""
