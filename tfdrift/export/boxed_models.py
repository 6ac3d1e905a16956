"""The small models that come with tfdrift: `saved_models/` of the repository, and inside the package once installed."""

from pathlib import Path

import tfdrift

FOLDER = "saved_models"
"""Where models are looked for unless told otherwise, and what the folder of the boxed ones is called."""


def boxed_folder() -> Path | None:
    """Return the folder of the models that come with tfdrift; None where it was installed without them."""
    package = Path(tfdrift.__file__).parent
    return next((folder for folder in (package / FOLDER, package.parent / FOLDER) if folder.is_dir()), None)


def model_or_boxed(model: Path) -> Path:
    """Return the folder of a model, or where there is none the boxed model of that name.

    So `saved_models/direct` and `direct` name a model in any folder.

    Args:
        model: as the user named it.

    Example:
        >>> model_or_boxed(Path("saved_models/direct")).name
        'direct'
    """
    boxed = boxed_folder()
    if model.exists() or boxed is None or model.parent not in (Path(), Path(FOLDER)):
        return model
    return boxed / model.name if (boxed / model.name).is_dir() else model
