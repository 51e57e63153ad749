"""Execute and execute-plan: what is accepted, what is refused, and where the fault is."""

from __future__ import annotations

import difflib
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import InvalidOptions, InvalidPath, MissingSource, UnsupportedOption
from flowscale.plans import MAX_SEGMENTS, PlanRequest
from flowscale.specs import (
    MAX_URL,
    ExecuteRequest,
    RenderSpec,
    Source,
    as_frame_rate,
    checked_url,
    output_stem,
    stored_reference,
    upload_key_in_url,
)
from flowscale.validation import MAX_FAULTS, MAX_FAULTS_READ, parse

FILE_ID = "0f8fad5bd9cb469fa16570867728950e"
KEY = f"uploads/{FILE_ID}/clip.mp4"
SEGMENT = {
    "segment_id": "one",
    "source_start_ms": 1000,
    "source_end_ms": 3000,
    "output_start_ms": 0,
    "output_end_ms": 2000,
    "trim_start_ms": 1000,
    "trim_end_ms": 3000,
    "source_duration_ms": 5000,
}
OUTPUT_FORMAT = {"width": 1280, "height": 720, "fps": 29.97, "codec": "h264"}


def execute(**options: Any) -> ExecuteRequest:
    return parse(ExecuteRequest, json.dumps({"sourcePath": KEY, **options}).encode())


def plan(*segments: dict[str, Any], **options: Any) -> PlanRequest:
    timeline = [{**SEGMENT, **segment} for segment in segments]
    body = {"plan_id": "p", "source_video_id": "v", "timeline": timeline, "output_format": OUTPUT_FORMAT, **options}
    return parse(PlanRequest, json.dumps({"sourceVideoUrl": KEY, "plan": body}).encode())


def faults(body: bytes | str, model: type[ExecuteRequest] | type[PlanRequest] = ExecuteRequest) -> list[str]:
    with pytest.raises(InvalidOptions) as caught:
        parse(model, body if isinstance(body, bytes) else body.encode())
    return [fault["path"] for fault in caught.value.details["faults"]]


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ('"trim":{"start":2,"end":2}', ["$.trim.end"]),
        ('"trim":{"start":2,"end":1}', ["$.trim.end"]),
        ('"trim":{"start":1}', ["$.trim.end"]),
        ('"trim":{"start":NaN,"end":1}', ["$.trim.start"]),
        ('"trim":{"start":0,"end":Infinity}', ["$.trim.end"]),
        ('"trim":{"start":-1,"end":1}', ["$.trim.start"]),
        ('"trim":{"start":"0","end":1}', ["$.trim.start"]),
        ('"trim":{"start":0,"end":1,"middle":2}', ["$.trim.middle"]),
        ('"trim":[0,1]', ["$.trim"]),
        ('"speed":0.2', ["$.speed"]),
        ('"speed":4.01', ["$.speed"]),
        ('"speed":"2"', ["$.speed"]),
        ('"speed":true', ["$.speed"]),
        ('"resize":{"width":640}', ["$.resize.height"]),
        ('"resize":{"width":640,"height":15}', ["$.resize.height"]),
        ('"resize":{"width":640.5,"height":360}', ["$.resize.width"]),
        ('"resize":{"width":640,"height":360,"fit":"stretch"}', ["$.resize.fit"]),
        ('"audio":{"volume":3}', ["$.audio.volume"]),
        ('"audio":{"fadeIn":-1}', ["$.audio.fadeIn"]),
        ('"audio":{"mute":1}', ["$.audio.mute"]),
        ('"format":"gif"', ["$.format"]),
        ('"quality":"best"', ["$.quality"]),
        ('"priority":"urgent"', ["$.priority"]),
        ('"outputName":7', ["$.outputName"]),
        ('"source_path":"x"', ["$.source_path"]),
        ('"__proto__":{}', ["$.__proto__"]),
        ('"speed":9,"format":"gif","nonsense":1', ["$.speed", "$.format", "$.nonsense"]),
    ],
)
def test_every_fault_is_named_by_its_path(options: str, paths: list[str]) -> None:
    assert faults(f'{{"sourcePath":"{KEY}",{options}}}') == paths


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b'{"sourcePath":"a"} {}'])
def test_what_is_no_object_is_refused_as_a_whole(body: bytes) -> None:
    assert faults(body) == ["$"]


def test_a_misspelt_option_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(InvalidOptions) as caught:
        parse(ExecuteRequest, b'{"resize":{"widht":1,"width":64,"height":64}}')
    assert caught.value.details["faults"][0]["message"] == "unknown option; did you mean 'width'"


def test_an_unknown_option_that_is_near_to_none_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InvalidOptions) as caught:
        parse(ExecuteRequest, b'{"sourcePath": "x", "preset": "fast", "trim": {"from": 1}}')
    told = {fault["path"]: fault["message"] for fault in caught.value.details["faults"]}
    assert told["$.preset"].startswith("unknown option; there are sourcePath, inputFileUrl, sources, ")
    assert "quality" in told["$.preset"]
    assert told["$.trim.from"] == "unknown option; there are start, end"


def test_of_many_faults_only_the_first_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def nearest(word: str, *_: object, **__: object) -> list[str]:
        looked_up.append(word)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", nearest)
    with pytest.raises(InvalidOptions) as caught:
        parse(ExecuteRequest, json.dumps({f"option{number}": 1 for number in range(MAX_FAULTS_READ)}).encode())
    assert len(caught.value.details["faults"]) == len(looked_up) == MAX_FAULTS
    assert "and 999 more" in caught.value.message


def test_far_too_many_faults_are_only_counted() -> None:
    body = json.dumps({f"option{number}": 1 for number in range(MAX_FAULTS_READ + 1)}).encode()
    with pytest.raises(InvalidOptions, match="1001 faults") as caught:
        parse(ExecuteRequest, body)
    assert [fault["path"] for fault in caught.value.details["faults"]] == ["$"]


def test_null_means_absent() -> None:
    request = execute(trim=None, speed=None, resize=None, audio=None, format=None, quality=None, priority=None)
    assert request.to_spec((Source(key=KEY),)) == RenderSpec(sources=(Source(key=KEY),))


@pytest.mark.parametrize("body", ["{}", '{"sourcePath":""}', '{"sources":[]}', '{"sourcePath":null}'])
def test_a_request_without_a_source(body: str) -> None:
    with pytest.raises(MissingSource):
        parse(ExecuteRequest, body.encode()).named_sources()


def test_two_kinds_of_source_are_refused() -> None:
    with pytest.raises(InvalidOptions, match="only one of"):
        execute(sources=[KEY]).named_sources()


@pytest.mark.parametrize("filters", [["scale=1:1"], [None], "scale=1:1", "", {}, {"scale": 1}, 0, 7, False, True])
def test_raw_filters_are_refused_whatever_form_they_have(filters: Any) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        execute(filters=filters).named_sources()
    assert caught.value.details["faults"][0]["path"] == "$.filters"


@pytest.mark.parametrize("filters", [[], None])
def test_no_filters_are_no_fault(filters: Any) -> None:
    assert execute(filters=filters).named_sources() == [KEY]
    assert plan({"filters": filters}).named_sources() == [KEY]


def test_a_spec_survives_its_record() -> None:
    request = execute(
        trim={"start": 0.1, "end": 2},
        speed=1.5,
        resize={"width": 64, "height": 36, "fit": "cover"},
        audio={"volume": 0.5, "fadeIn": 1, "mute": False},
        format="webm",
        quality="lossless",
        outputName="Ferien 2026.mov",
    )
    spec = request.to_spec((Source(key=KEY), Source(url="https://example.com/a.mp4")))
    assert RenderSpec.from_record(json.loads(json.dumps(spec.to_record()))) == spec
    assert spec.file_name == "Ferien_2026.webm"


@pytest.mark.parametrize("record", [None, 7, "text", [], {}, {"sources": 1}, {"sources": [], "exec": "rm"}])
def test_a_record_that_is_not_ours_is_refused(record: Any) -> None:
    with pytest.raises(ValueError, match="RenderSpec"):
        RenderSpec.from_record(record)


def test_a_plan_is_the_segments_in_the_order_of_the_output() -> None:
    second = {"segment_id": "two", "output_start_ms": 2000, "output_end_ms": 2500, "source_start_ms": 0}
    spec = plan(second, {}).to_spec((Source(key=KEY),))
    assert [cut.start_us for cut in spec.timeline] == [1_000_000, 0]
    assert spec.frame_rate == (30000, 1001)
    assert spec.resize is not None
    assert (spec.resize.width, spec.format) == (1280, "mp4")


def test_segments_must_not_overlap_in_the_output() -> None:
    with pytest.raises(InvalidOptions) as caught:
        plan({}, {"segment_id": "two", "output_start_ms": 1500, "output_end_ms": 3500}).named_sources()
    assert caught.value.details["faults"][0]["path"] == "$.plan.timeline[1].output_start_ms"


def test_a_frame_of_overlap_is_an_editors_rounding() -> None:
    plan({}, {"segment_id": "two", "output_start_ms": 1960, "output_end_ms": 3500}).named_sources()


def test_a_plan_may_keep_or_drop_the_sound() -> None:
    assert plan({}).to_spec(()).audio.mute is False
    assert plan({}, audio={"preserve": False}).to_spec(()).audio.mute is True
    assert plan({}, audio={"preserve": True, "volume": 0.5}).to_spec(()).audio.volume == 0.5


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"source_end_ms": 1000}, "$.plan.timeline[0].source_end_ms"),
        ({"output_end_ms": 0}, "$.plan.timeline[0].output_end_ms"),
        ({"speed_multiplier": 9}, "$.plan.timeline[0].speed_multiplier"),
        ({"sourceStartMs": 9}, "$.plan.timeline[0].sourceStartMs"),
    ],
)
def test_a_plans_faults_are_named_by_their_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        plan(change)
    assert caught.value.details["faults"][0]["path"] == path


def test_a_plan_has_a_bounded_number_of_segments() -> None:
    with pytest.raises(InvalidOptions, match="at most"):
        plan(*[{}] * (MAX_SEGMENTS + 1))


@pytest.mark.parametrize("filters", [["hue=s=0"], "hue=s=0", {}])
def test_a_plans_filters_are_refused(filters: Any) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        plan({}, {"filters": filters}).named_sources()
    assert caught.value.details["faults"][0]["path"] == "$.plan.timeline[1].filters"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (KEY, KEY),
        (f"/{KEY}", None),
        (f"/{FILE_ID}", None),
        (FILE_ID, FILE_ID),
        ("../etc/passwd", None),
        ("/etc/passwd", None),
        (f"uploads/{FILE_ID}/../x", None),
        (f"uploads/{FILE_ID}/a b", None),
        (f"uploads/{FILE_ID}/clip.mp4\n", None),
        (f"outputs/{FILE_ID}/clip.mp4", None),
        ("file:///etc/passwd", None),
        ("https://example.com/a.mp4", None),
    ],
)
def test_only_keys_and_file_ids_refer_to_stored_files(text: str, found: str | None) -> None:
    assert stored_reference(text) == found


def test_a_public_url_of_ours_leads_to_its_key() -> None:
    assert upload_key_in_url(f"https://media.example.com/base/{KEY}?x=1#t") == KEY
    assert upload_key_in_url("https://example.com/uploads/1/clip.mp4") is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a",
        "file:///etc/passwd",
        "//example.com/a",
        "http:///a",
        "http://user:secret@example.com/",
        "http://example.com:99999/",
        "http://example.com/a b",
        "http://[::1",
        "concat:a|b",
        "",
        "http://example.com/" + "a" * (MAX_URL - 18),
    ],
)
def test_only_plain_web_addresses_are_urls(url: str) -> None:
    with pytest.raises(InvalidPath):
        checked_url(url)


@pytest.mark.parametrize(
    ("label", "stem"),
    [
        (None, "output"),
        ("", "output"),
        ("film.mp4", "film"),
        ("../../etc/passwd", "passwd"),
        ("Grüße aus Köln", "Grue_aus_Koln"),
        (".hidden", "hidden"),
        ("...", "output"),
        ("a" * 300, "a" * 95),
    ],
)
def test_output_names_become_harmless(label: str | None, stem: str) -> None:
    assert output_stem(label) == stem


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25, (25, 1)),
        (29.97, (30000, 1001)),
        (23.976, (24000, 1001)),
        (59.94, (60000, 1001)),
        (12.5, (25, 2)),
        (1, (1, 1)),
    ],
)
def test_frame_rates(fps: float, rate: tuple[int, int]) -> None:
    assert as_frame_rate(fps) == rate


@given(st.floats(1, 120))
def test_every_frame_rate_is_close_to_what_was_asked(fps: float) -> None:
    numerator, denominator = as_frame_rate(fps)
    assert abs(numerator / denominator - fps) < 0.01


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_no_json_breaks_the_parser(value: Any) -> None:
    with suppress(InvalidOptions, MissingSource, UnsupportedOption):
        parse(ExecuteRequest, json.dumps(value).encode()).named_sources()
