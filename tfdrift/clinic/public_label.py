"""What a structure is called where others than the patient's clinic may read it."""

import re
import unicodedata
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from tfdrift.imaging.dicom import UnusableAttributeError, parsing, value_of
from tfdrift.imaging.structures import Roi

NAMES_AND_NUMBERS = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientID", "OtherPatientIDs", "AccessionNumber",
)  # fmt: skip
BIRTH_DATE = "PatientBirthDate"
SHORTEST_PART = 3
"""Letters of the shortest word that hides a name it is only a part of: two would hide most names."""

_SCRIPTS_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "ł": "l"})


def public_label(roi: Roi, header: Dataset) -> str:
    """Return the structure's name, or `structure N` where the name is empty or holds part of the patient's identity.

    A part is a word of any length of the names, the numbers or the birth date in the header as a word of its own, also
    with digits before or behind it, and a word of three letters or more anywhere; in scripts that put no space between
    words any word anywhere. Case, accents and the order of a date's parts do not count. Where a part of the identity
    cannot be read, no name can be cleared of it.

    Args:
        roi: the structure.
        header: of a slice.

    Example:
        >>> header = Dataset()
        >>> header.PatientName = "Doe^Jo"
        >>> names = ("GTV 1 L frontal", "GTV jo", "Jones 1")
        >>> [public_label(Roi(number=7, name=name, contours_mm=()), header) for name in names]
        ['GTV 1 L frontal', 'structure 7', 'Jones 1']
    """
    name = "".join(char for char in roi.name.strip() if char.isprintable())
    with parsing("a slice of the series"):
        try:
            secret = _words_of_the_identity(header)
            birth = str(value_of(header, BIRTH_DATE) or "")
        except UnusableAttributeError:
            return f"structure {roi.number}"
    if not name or _tells(name, secret) or _tells_date(name, birth):
        return f"structure {roi.number}"
    return name


def _words_of_the_identity(header: Dataset) -> set[str]:
    texts = []
    for keyword in NAMES_AND_NUMBERS:
        value = value_of(header, keyword)
        texts += [str(one) for one in (value if isinstance(value, MultiValue) else [value or ""])]
    for item in value_of(header, "OtherPatientIDsSequence") or []:
        texts.append(str(value_of(item, "PatientID") or ""))
    return {word for text in texts for spelled in _spellings(text) for word in _words(spelled)}


def _tells(name: str, secret: set[str]) -> bool:
    for spelled in _spellings(name):
        words = _words(spelled)
        if secret & {*words, *(word.strip("0123456789") for word in words)}:
            return True
        if any(word in spelled for word in secret if len(word) >= SHORTEST_PART or _without_spaces(word)):
            return True
    return False


def _spellings(text: str) -> Iterator[str]:
    """Yield a text without case and accents: these left out and spelled out (ü as u and as ue), words inside of words
    together and apart (GTVLi as gtvli and as gtv li).
    """
    text = unicodedata.normalize("NFC", text)
    for parted in (text, re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)):
        for spelled in (parted, parted.casefold().translate(_SPELLED_OUT)):
            decomposed = unicodedata.normalize("NFKD", spelled)
            yield "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[\W_]+", text) if word}


def _without_spaces(word: str) -> bool:
    return any(unicodedata.name(char, "").startswith(_SCRIPTS_WITHOUT_SPACES) for char in word)


def _tells_date(name: str, birth: str) -> bool:
    """Return whether a name holds the date of birth or its year, in any order of its parts and any punctuation."""
    digits = "".join(char for char in birth if char.isdigit())
    if len(digits) != 8:  # not a date as DICOM writes it
        return bool(digits) and digits in name
    year, month, day = digits[:4], digits[4:6], digits[6:]
    numbers = re.findall(r"\d+", name)
    if year in numbers or any(one in number for number in numbers for one in _in_any_order(year, month, day)):
        return True
    dates = ([number.zfill(2) for number in numbers[i : i + 3]] for i in range(len(numbers) - 2))
    return any(sorted(date) in (sorted((y, month, day)) for y in (year, year[2:])) for date in dates)


def _in_any_order(year: str, month: str, day: str) -> Iterator[str]:
    for y in (year, year[2:]):
        yield from (y + month + day, day + month + y, month + day + y)
