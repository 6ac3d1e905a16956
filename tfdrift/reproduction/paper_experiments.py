"""The paper's figures as experiments. Two that name the same run share it."""

import dataclasses

from tfdrift.reproduction.experiment import Experiment, Run

METHOD1 = Run(label="Method 1", method="method1")
METHOD2 = Run(label="Method 2", method="method2")
EQUAL = Run(label="weights 1:1", method="method1", settings={"drift_weight": 1.0})
HALF_MORE = Run(label="weights 1:1.5", method="method1", settings={"drift_weight": 1.5})
THREEFOLD = Run(label="weights 1:3", method="method1", settings={"drift_weight": 3.0})
INDEPENDENT = Run(label="Two networks", method="method1", settings={"heads": "independent"})

FIGURES = (
    Experiment(
        name="fig1b",
        kind="volumes",
        title="Lesion volumes at three time points",
        purpose="Fig. 1B: a lesion that grows and one that shrinks, at the first MRI, the second and the follow-up.",
        expect="Some lesions grow and more shrink; the two groups part at 80% of the first volume at the follow-up.",
    ),
    Experiment(
        name="fig2",
        kind="methods",
        title="Six lesions with their drift, and the two methods",
        purpose="Fig. 2: six examples of pre, post and drift (A); Method 1 in one step (B), Method 2 in many (C).",
        expect="Drift is blue where signal is lost and red where it is gained; the outputs are of a held-out lesion.",
        runs=(THREEFOLD, METHOD2),
    ),
    Experiment(
        name="fig3",
        kind="digits",
        title="MNIST's zeros: Method 1, Method 2 and two networks",
        purpose="Fig. 3: the toy example, for Method 1 (A), Method 2 (B) and two fully decoupled networks (C).",
        expect="A growing and a shrinking zero are recovered by all three; A and C look alike, B is noisier.",
        runs=(METHOD1, METHOD2, INDEPENDENT),
        data="digits",
    ),
    Experiment(
        name="fig4",
        kind="training",
        title="Rotations, noise and loss curves",
        purpose="Fig. 4: four rotations (A), two lesions noised to every level (B), Method 1's losses (C).",
        expect="The lesion can still be seen at the noisiest level; both losses fall fast, then slowly.",
        runs=(THREEFOLD,),
    ),
    Experiment(
        name="fig5",
        kind="levels",
        title="Method 1 with three weights of the drift loss",
        purpose="Fig. 5: one lesion over the levels with reconstruction to drift weighted 1:1, 1:1.5 and 1:3.",
        expect="Coarse at the noisiest level and sharper midway. The paper prefers 1:3; the intervals tell.",
        runs=(EQUAL, HALF_MORE, THREEFOLD),
    ),
    Experiment(
        name="fig6",
        kind="lesions",
        title="Method 2 on five lesions",
        purpose="Fig. 6: decoupled heads and SSIM in the drift loss, five lesions over the reverse process.",
        expect="The image gets cleaner from left to right while the drift map changes little.",
        runs=(METHOD2,),
    ),
    Experiment(
        name="fig7",
        kind="groups",
        title="Method 2 on lesions that respond poorly",
        purpose="Fig. 7: lesions that keep at least 80% of their volume; drift of the groups in core and rim.",
        expect="Less blue than Fig. 8. The paper sees no difference between the groups; the phantom's law makes one.",
        runs=(METHOD2,),
        every_fold=True,
        group="poor",
    ),
    Experiment(
        name="fig8",
        kind="groups",
        title="Method 2 on lesions that respond well",
        purpose="Fig. 8: lesions that keep less than 80% of their volume; drift of the groups in core and rim.",
        expect="More blue than Fig. 7. The paper sees no difference between the groups; the phantom's law makes one.",
        runs=(METHOD2,),
        every_fold=True,
        group="good",
    ),
    Experiment(
        name="s1",
        kind="levels",
        title="Method 1 at noise level 0.5",
        purpose="Fig. S1: more noise in training and in use, beside the 0.2 of Fig. 5C.",
        expect="Finer structure is lost, above all at the noisiest levels.",
        runs=(
            dataclasses.replace(THREEFOLD, label="noise 0.2"),
            Run(label="noise 0.5", method="method1", settings={"drift_weight": 3.0, "noise_level": 0.5}),
        ),
    ),
    Experiment(
        name="s2",
        kind="loss",
        title="Method 2's losses",
        purpose="Fig. S2: losses of noise and of drift over the training.",
        expect="Both fall fast over the first 1,600 steps and little after them.",
        runs=(METHOD2,),
    ),
    Experiment(
        name="s3",
        kind="lesions",
        title="Method 2 at noise level 0.5",
        purpose="Fig. S3: the five lesions of Fig. 6 with more noise in training and in use.",
        expect="The reverse process finds no clear image; worse than Fig. 6 in every score.",
        runs=(METHOD2, Run(label="noise 0.5", method="method2", settings={"noise_level": 0.5})),
    ),
    Experiment(
        name="s4",
        kind="lesions",
        title="Method 2 with shared layers",
        purpose="Fig. S4: the five lesions of Fig. 6 with one decoder for noise and drift.",
        expect="Slightly worse by eye in the paper. On the phantom the image is better, the drift no different.",
        runs=(METHOD2, Run(label="shared layers", method="method2", settings={"heads": "shared"})),
    ),
    Experiment(
        name="s5",
        kind="lesions",
        title="Method 2 with MSE alone",
        purpose="Fig. S5: the five lesions of Fig. 6 without SSIM in the drift loss.",
        expect="Slightly worse by eye in the paper. On the phantom the image is better, the drift no different.",
        runs=(METHOD2, Run(label="MSE only", method="method2", settings={"drift_ssim": 0.0})),
    ),
)
"""In the paper's order."""
