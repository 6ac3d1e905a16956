"""The diffusion algebra on tensors: it knows no network and no file.

schedule     how much signal and noise each level holds
process      the forward process, eq. 2, and back
predictions  what a network may predict of x_t: eps, x0 or v
noise        noise as a function of seeds; images and batches noised
sampler      DDIM, eqs. 4 and 5
"""
