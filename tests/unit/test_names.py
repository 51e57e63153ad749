"""Ids, names and keys: whatever a client sends, what we make of it has one of a few harmless forms."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale import names

FILE_ID = "0123456789abcdef" * 2
JOB_ID = "job_1700000000000_" + FILE_ID
UPLOAD_KEY = f"uploads/{FILE_ID}/clip.mp4"
OUTPUT_KEY = f"outputs/{JOB_ID}/{FILE_ID}/clip.mp4"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("clip.mp4", "clip.mp4"),
        ("My holiday (1).mp4", "My_holiday_1_.mp4"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("café.mov", "cafe.mov"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("..", "fallback"),
        ("", "fallback"),
        ("日本", "fallback"),
        ("clip.mp4...", "clip.mp4"),
        ("a\x00b.mp4", "a_b.mp4"),
        ("x" * 200 + ".mp4", "x" * 96 + ".mp4"),
        ("x." + "y" * 200, "x." + "y" * 98),
    ],
)
def test_a_label_becomes_a_safe_name(label: str, name: str) -> None:
    assert names.safe_name(label, fallback="fallback") == name


@given(st.text())
def test_every_label_becomes_a_safe_name(label: str) -> None:
    name = names.safe_name(label, fallback="fallback")
    assert re.fullmatch("[A-Za-z0-9_][A-Za-z0-9._-]*", name)
    assert 1 <= len(name) <= names.MAX_NAME
    assert names.safe_name(name, fallback="fallback") == name.rstrip(".")


@given(st.text())
def test_keys_made_of_any_label_are_keys(label: str) -> None:
    name = names.safe_name(label, fallback="file")
    assert names.is_upload_key(names.upload_key(FILE_ID, name))
    assert names.is_output_key(names.output_key(JOB_ID, FILE_ID, name))
    assert names.is_key(names.upload_key(FILE_ID, name))
    assert names.is_key(names.output_key(JOB_ID, FILE_ID, name))


@given(st.text(alphabet="ab/.0_-upolds\x00\\%") | st.text())
def test_what_is_a_key_is_a_normal_relative_path(text: str) -> None:
    for key in (text, f"uploads/{FILE_ID}/{text}", f"outputs/{JOB_ID}/{FILE_ID}/{text}"):
        if names.is_key(key):
            assert posixpath.normpath(key) == key
            assert not posixpath.isabs(key)
            assert key.isascii()
            assert key.isprintable()


def test_the_two_forms_of_keys_are_told_apart() -> None:
    assert names.is_upload_key(UPLOAD_KEY)
    assert not names.is_output_key(UPLOAD_KEY)
    assert names.is_output_key(OUTPUT_KEY)
    assert not names.is_upload_key(OUTPUT_KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "uploads",
        "uploads/",
        f"uploads/{FILE_ID}",
        f"uploads/{FILE_ID}/",
        f"/{UPLOAD_KEY}",
        f"{UPLOAD_KEY}/",
        f"{UPLOAD_KEY}\n",
        f"uploads/{FILE_ID.upper()}/clip.mp4",
        f"uploads/{FILE_ID}/.hidden",
        f"uploads/{FILE_ID}/" + "x" * 101,
        f"outputs/{FILE_ID}/{FILE_ID}/clip.mp4",
        f"outputs/{JOB_ID}/clip.mp4",
        f"incoming/{FILE_ID}/clip.mp4",
    ],
)
def test_anything_else_is_no_key(text: str) -> None:
    assert not names.is_key(text)


@pytest.mark.parametrize(
    ("text", "is_prefix"),
    [
        ("uploads/", True),
        (f"uploads/{FILE_ID}/", True),
        ("outputs/", True),
        (f"outputs/{JOB_ID}/", True),
        (f"outputs/{JOB_ID}/{FILE_ID}/", True),
        ("", False),
        ("/", False),
        ("uploads", False),
        (f"uploads/{FILE_ID}", False),
        (f"uploads/{FILE_ID[:8]}/", False),
        ("uploads/../", False),
        ("incoming/", False),
        ("uploads/\n", False),
        (UPLOAD_KEY, False),
        (f"{UPLOAD_KEY}/", False),
    ],
)
def test_a_prefix_is_a_whole_number_of_leading_parts(text: str, is_prefix: bool) -> None:
    assert names.is_key_prefix(text) is is_prefix


@pytest.mark.parametrize(
    ("text", "is_job"),
    [(JOB_ID, True), (JOB_ID + "\n", False), (JOB_ID[:-1], False), ("job_1_" + FILE_ID, False), ("", False)],
)
def test_job_ids(text: str, is_job: bool) -> None:
    assert names.is_job_id(text) is is_job


def test_a_job_id_carries_its_time() -> None:
    assert names.job_id(1_700_000_000_000, FILE_ID) == JOB_ID
    assert names.is_job_id(names.job_id(5, FILE_ID))


def test_file_ids() -> None:
    assert names.is_file_id(FILE_ID)
    assert not names.is_file_id(FILE_ID + "\n")
    assert not names.is_file_id(FILE_ID[:-1] + "g")
