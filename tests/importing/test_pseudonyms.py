import hashlib
import hmac
import os

import pytest

from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key

KEY = bytes(range(32))


def test_a_pseudonym_is_the_start_of_the_hmac():
    expected = hmac.new(KEY, b"7:patient6:481000", hashlib.sha256).hexdigest()
    assert pseudonym(KEY, "patient", "481000") == "p" + expected[:16]


def test_another_key_gives_another_pseudonym():
    assert pseudonym(KEY, "patient", "481000") != pseudonym(bytes(32), "patient", "481000")


def test_parts_of_an_identity_are_kept_apart():
    assert pseudonym(KEY, "lesion", "1", "23") != pseudonym(KEY, "lesion", "12", "3")


def test_an_id_that_is_no_valid_text_has_a_pseudonym():
    assert pseudonym(KEY, "patient", "M\udcfcller") != pseudonym(KEY, "patient", "Müller")


def test_a_key_is_made_once_and_then_kept(tmp_path):
    key = read_or_make_key(tmp_path / "cohort.key")
    assert len(key) == 32
    assert read_or_make_key(tmp_path / "cohort.key") == key
    assert [file.name for file in tmp_path.iterdir()] == ["cohort.key"]


def test_two_keys_differ(tmp_path):
    assert read_or_make_key(tmp_path / "a.key") != read_or_make_key(tmp_path / "b.key")


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_a_new_key_is_for_its_owner_alone(tmp_path):
    read_or_make_key(tmp_path / "cohort.key")
    assert (tmp_path / "cohort.key").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_of_a_new_key_is_no_hindrance(tmp_path):
    (tmp_path / ".cohort.key.new").write_text("00")
    assert len(read_or_make_key(tmp_path / "cohort.key")) == 32
    assert [file.name for file in tmp_path.iterdir()] == ["cohort.key"]


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_a_key_that_others_may_read_is_refused(tmp_path):
    read_or_make_key(tmp_path / "cohort.key")
    (tmp_path / "cohort.key").chmod(0o640)
    with pytest.raises(UsageError, match="other users may read the key file"):
        read_or_make_key(tmp_path / "cohort.key")


@pytest.mark.parametrize("text", ["", "00" * 31, "patient,lesion\n", "ü" * 64])
def test_a_file_that_holds_no_key_is_refused_and_left_alone(tmp_path, text):
    file = tmp_path / "cohort.key"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(DataError, match="holds no key"):
        read_or_make_key(file)
    assert file.read_text(encoding="utf-8") == text


def test_a_key_in_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ResourceError, match="cannot be read or made: No such file or directory"):
        read_or_make_key(tmp_path / "absent" / "cohort.key")
