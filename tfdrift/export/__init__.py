"""A run to a blessed, versioned SavedModel.

members         the runs of a model: one, or an ensemble
signatures      what an exported model answers, and the ops it may hold
normalisation   scanner units to what a network was trained on
saved_model     a run as a version of a model
model_card      what it was trained on, how well it does, what it is not for
warmup          requests that a server answers to itself
blessing        whether a model deserves to be served
canary          a model tried out before it is pushed
push            from a run to a version that is served
model_folder    versions and what they say of themselves
server_configs  the files TF Serving is started with
"""
