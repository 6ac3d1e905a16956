"""One method on one data set into a run folder, resumed to the same bits.

data          the data that a run names
batches       the batch of step k as a function of k
losses        what an output is compared by
machines      several that train one run together
step          one optimiser step
loop          many of them in one compiled call
inner         how long to train and how far to trust it, chosen inside the training patients
dressing      how far answers to the inner groups erred
validation    the look at the held-out patients on the way
progress      lines or a bar for people
summaries     TensorBoard and history.jsonl
signals       SIGINT and SIGTERM as a question
checkpoint    weights, optimiser and step in one file
run_folder    what a run's folder holds, and back to a predictor
train         a run from its configuration to its folder
side_by_side  several runs at a time
"""
