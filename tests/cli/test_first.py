"""Two keys in one file: the originals of both sides under both keys, and who was first."""
import shutil
import time

import pytest

import tools
from tools import run, run_json
from test_timestamp import authority  # noqa: F401, a fixture

GAP = 2.2  # seconds between two stamps: more than the cut to whole seconds


def stamp(authority, folder, key, into):
    shutil.copy(folder / key, folder / into)
    run("key", folder / into, "--timestamp-request", folder / "tsq", "--force")
    authority.answer(folder / "tsq", folder / "tsr")
    run("key", folder / into, "--timestamp", folder / "tsr", "--ca", authority.ca)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The owner marks m; a thief marks the owner's copy again. Neither key is dated."""
    folder = tmp_path_factory.mktemp("sides")
    tools.write_model(folder / "m")
    for key, source, target in (("owner", "m", "marked"), ("thief", "marked", "leak")):
        run("keygen", "-o", folder / f"{key}.undated", "--model", folder / source, "--bits", "64")
        run("embed", folder / source, "--key", folder / f"{key}.undated", "-o", folder / target)
    return folder


@pytest.fixture(scope="module")
def dated(made, authority):  # noqa: F811
    """owner.key and thief.key, in this order of time; early.key is the thief's, stamped before the owner's."""
    config = open(authority.path("config")).read()
    open(authority.path("config"), "w").write(config.replace("accuracy = secs:1, millisecs:500", "accuracy = millisecs:1"))
    for key, into in (("thief.undated", "early.key"), ("owner.undated", "owner.key"), ("thief.undated", "thief.key")):
        time.sleep(GAP)
        stamp(authority, made, key, into)
    return made


@pytest.fixture
def sides(scratch, made):
    shutil.copytree(made, scratch, dirs_exist_ok=True)
    return scratch


@pytest.fixture
def with_dates(scratch, dated):
    shutil.copytree(dated, scratch, dirs_exist_ok=True)
    return scratch


def keys(*names):
    return [word for name in names for word in ("--key", name)]


def originals(*names):
    return [word for name in names for word in ("--original", name)]


def id_of(key):
    return run_json("key", key)["key_id"]


def test_cross_readings(sides):
    both = keys("owner.undated", "thief.undated")
    said = run_json("verify", "leak", *both, *originals("m", "marked"))
    owner, thief = id_of("owner.undated"), id_of("thief.undated")
    assert [r["verdict"] for r in said["results"]] == ["found", "found"]
    assert [(o["original"], o["of"], [(r["key_id"], r["verdict"]) for r in o["readings"]]) for o in said["originals"]] == [
        ("m", [owner], [(owner, "not-found"), (thief, "not-found")]), ("marked", [thief], [(owner, "found"), (thief, "not-found")])]
    alone = run_json("verify", "marked", *keys("owner.undated"))
    reading = said["originals"][1]["readings"][0]
    assert {k: reading[k] for k in ("z", "log10_p", "evidence_bits")} == {k: alone[k] for k in ("z", "log10_p", "evidence_bits")}  # no tries
    assert said["first"] == [{"model": "leak", "found": [owner, thief], "first": None, "reason": "no-date"}]
    run("verify", "leak", *both, *originals("m", "marked"),
        out=r"(?s)original  m of owner.undated\nnot-found .*owner.undated +m\nnot-found .*original  marked of thief.undated\nfound .*"
            r"first     leak: the files do not say: no key .*--ca.*rule      Of several keys found in one file, the one whose date is oldest")


def test_nothing_is_said_of_one_key(sides):
    assert run_json("verify", "marked", *keys("owner.undated", "thief.undated"))["first"] == []
    said = run_json("verify", "marked", *keys("owner.undated"), *originals("m"))
    assert [r["verdict"] for r in said["results"]] == ["found"] and said["originals"][0]["readings"][0]["verdict"] == "not-found"
    assert "rule " not in run("verify", "marked", "m", *keys("owner.undated")).stdout


def test_who_was_first(with_dates, authority):  # noqa: F811
    owner, thief = id_of("owner.key"), id_of("thief.key")
    ca = ["--ca", authority.ca]

    def first(key_files, *files):
        (answer,) = run_json("verify", "leak", *keys(*key_files), *originals(*files), *ca)["first"]
        return answer["first"], answer["reason"]

    for order in (("owner.key", "thief.key"), ("thief.key", "owner.key")):
        assert first(order, "m", "marked") == first(order, "m") == (owner, "known")
        assert first(order, "marked") == first(order) == (None, "no-original")
    assert first(("owner.key", "early.key"), "m", "marked") == (None, "other-mark")  # the thief's "original" has the owner's mark
    assert first(("early.key", "owner.undated"), "m", "marked") == (None, "other-mark")
    assert first(("thief.undated", "owner.key"), "m") == (owner, "known")
    assert thief == id_of("early.key")
    run("verify", "leak", *keys("owner.key", "thief.key"), *originals("m", "marked"), *ca,
        out=r"(?m)^first     leak: the key owner.key was first: the oldest date, and its original shows no mark of these keys$")
    run("verify", "leak", *keys("owner.key", "early.key"), *originals("m", "marked"), *ca,
        out=r"(?m)^first     leak: the files do not say: the original of the key with the oldest date shows, or may show, another of the keys: early.key$")
    run("verify", "leak", *keys("owner.key", "thief.key"), *ca, out=r"is needed \(--original\): owner.key\n")


def test_refusals(sides):
    both = keys("owner.undated", "thief.undated")
    shutil.copy("m", "again")
    run("verify", "leak", *both, *originals("leak"), code=3, err="leak: the original of none of the keys")
    run("verify", "leak", *both, *originals("m", "again"), code=3, err="again: the original of key owner.undated, as m is")
    run("verify", "leak", *both, *originals("nothing"), code=3, err="nothing: No such file")
