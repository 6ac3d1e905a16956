"""Record a run folder of version 0.1.0, which later versions must load; run at 461bd55, from its own checkout.

    python tests/golden/record_run.py tests/golden/run_0.1.0

Pictures, event files, history and lock were removed from what it wrote.
"""

import sys
from pathlib import Path

from tfdrift.cohort.phantom import phantom_samples
from tfdrift.evaluation.heldout import evaluate_run
from tfdrift.training.run import train

from tfdrift.config import train_config

samples = phantom_samples(image_size=8, patients=6, folds=2)
settings = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 5, "steps": 4, "batch_size": 4}
folder = Path(sys.argv[1])
train(train_config("method1", checkpoint_every=4, **settings), folder, echo=print, samples=samples)
evaluate_run(folder, samples=samples)
