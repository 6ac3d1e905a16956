"""Scores on held-out patients, beside the baselines.

outcomes      what a trained method answers to many seeds, and at each level
answers       what runs answer about patients they were not trained on; ensembles and folds joined
baselines     no change, and the mean change
metrics       scores of a slice; the table of them all
movement      how far tissue is said to move, against the law
response      volumes of lesions and their response
uncertainty   the spread of outcomes, what intervals cover
decisions     which side of the 80% rule a lesion will be on
strata        scores by the lesions' size and change
calibration   the margins for a new patient
scores        all scores of answers
memorisation  how near answers are to training images
document      the schema of `metrics.json`
results       tables; evaluations read back
assessment    from answers to results
crossval      a run for each fold
pictures      charts and lesions
page          Markdown and HTML
report        the folder of an evaluation
"""
