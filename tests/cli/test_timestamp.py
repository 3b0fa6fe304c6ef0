"""A key's date, from the request to the verdict. The authority is the program openssl, and so is the oracle."""
import json
import os
import re
import shutil
import stat
import subprocess
import time

import pytest

import tools
from tools import run, run_json
from tsa import Authority

UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("the program openssl is not installed")
    made = Authority(tmp_path_factory.mktemp("tsa"))
    made.certify()
    refused = subprocess.run([tools.PROGRAM, "key", "/dev/null", "--ca", made.ca], capture_output=True, text=True)
    if "no time stamps" in refused.stderr:
        pytest.skip("built without libcrypto")
    return made


@pytest.fixture(scope="module")
def stamped(authority, tmp_path_factory):
    """own.key, its request own.tsq, the answer own.tsr; other.key and other.tsr; a marked model."""
    folder = tmp_path_factory.mktemp("stamped")
    tools.write_model(folder / "m.safetensors")
    for name in ("own", "other"):
        key = folder / f"{name}.key"
        run("keygen", "-o", key, "--model", folder / "m.safetensors", "--bits", "90", "--carrier", "weights")
        run("key", key, "--timestamp-request", folder / f"{name}.tsq")
        authority.answer(folder / f"{name}.tsq", folder / f"{name}.tsr")
    run("embed", folder / "m.safetensors", "--key", folder / "own.key", "-o", folder / "marked.safetensors")
    return folder


@pytest.fixture
def work(scratch, stamped):
    shutil.copytree(stamped, scratch, dirs_exist_ok=True)
    return scratch


def id_of(key="own.key"):
    return json.load(open(key))["id"]


def refuse(authority, answer, err, key="own.key", ca=None):
    """The answer is refused with one line, and the key file stays as it was."""
    before = open(key, "rb").read()
    run("key", key, "--timestamp", answer, "--ca", ca or authority.ca, code=3, err=err)
    assert open(key, "rb").read() == before and not tools.leftovers()


def test_request(work):
    assert stat.S_IMODE(os.stat("own.tsq").st_mode) & 0o133 == 0
    query = ["openssl", "ts", "-query"]
    open("statement", "w").write(f"weightmark key id {id_of()}\n")
    subprocess.run([*query, "-data", "statement", "-sha256", "-cert", "-out", "theirs"], check=True, capture_output=True)
    said = [subprocess.run([*query, "-in", name, "-text"], check=True, capture_output=True, text=True).stdout for name in ("own.tsq", "theirs")]
    ours, theirs = (re.sub("Nonce: .*", "Nonce", text) for text in said)
    assert ours == theirs and said[0] != said[1]
    assert run_json("key", "own.key", "--timestamp-request", "second") == {"key": "own.key", "key_id": id_of(), "request": "second"}


def test_request_replaces_nothing(work):
    open("out", "w").write("precious")
    run("key", "own.key", "--timestamp-request", "out", code=3, err="out: exists.*--force")
    assert open("out").read() == "precious"
    run("key", "own.key", "--timestamp-request", "out", "--force")
    assert os.path.getsize("out") == 69
    before = open("own.key").read()
    os.link("own.key", "link")
    for name in ("own.key", "./own.key", "link"):
        run("key", "own.key", "--timestamp-request", name, "--force", code=3, err="is the key")
    assert open("own.key").read() == before


def test_next_step_on_a_terminal(work):
    tools.need_terminal()
    assert "curl" not in run("key", "own.key", "--timestamp-request", "a").stdout
    done = subprocess.run(["script", "-qec", f"{tools.PROGRAM} key own.key --timestamp-request b", "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert re.search(r"curl .*application/timestamp-query.*@b .*\n.*\n +weightmark key own.key --timestamp answer.tsr --ca", done.stdout)


def test_stored(work, authority):
    before = open("own.key").read()
    assert authority.agrees(id_of(), "own.tsr")
    text = run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca).stdout
    when = re.search(rf"^dated +({UTC}) by Test TSA, Zeit AG$", text, re.M).group(1)
    assert "accuracy  1.5 s\n" in text and "policy 1.2.3.4.1" in text
    assert abs(time.time() - time.mktime(time.strptime(when + "+0000", "%Y-%m-%dT%H:%M:%SZ%z")) + time.timezone) < 3600
    after = open("own.key").read()
    assert re.sub(r'\n  "timestamp": "[A-Za-z0-9+/=]+",', "", after) == before
    assert stat.S_IMODE(os.stat("own.key").st_mode) == 0o600

    run("key", "own.key", out="(?m)^undated   a time stamp is stored; --ca FILE checks it$")
    run("key", "own.key", "--ca", authority.ca, out=f"(?m)^dated     {when} by Test TSA, Zeit AG$")
    assert run_json("key", "own.key")["dated"] is None
    said = run_json("key", "own.key", "--ca", authority.ca)
    assert (said["dated"], said["dated_by"], said["key_id"]) == (when, "Test TSA, Zeit AG", id_of())

    refuse(authority, "own.tsr", "own.key: holds a time stamp already, which is kept; --force replaces it")
    said = run_json("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca, "--force")
    assert said == {"key": "own.key", "key_id": id_of(), "dated": when, "dated_by": "Test TSA, Zeit AG"}
    assert open("own.key").read() == after


def test_undated(work, authority):
    run("key", "own.key", out="(?m)^created .*Z \\(says the key\\)\nundated   no time stamp is stored$")
    run("key", "own.key", "--ca", authority.ca, code=1, out="undated   no time stamp is stored")
    assert run_json("key", "own.key", "--ca", authority.ca, code=1)["dated"] is None


def test_sealed_key_stays_sealed(work, authority):
    open("pass", "w").write("open sesame\n")
    run("keygen", "-o", "sealed.key", "--model", "m.safetensors", "--carrier", "weights", "--bits", "32", "--passphrase-file", "pass")
    before = json.load(open("sealed.key"))
    run("key", "sealed.key", "--timestamp-request", "sealed.tsq")
    authority.answer("sealed.tsq", "sealed.tsr")
    run("key", "sealed.key", "--timestamp", "sealed.tsr", "--ca", authority.ca)
    after = json.load(open("sealed.key"))
    assert after.pop("timestamp") and after == before and "sealed" in after
    run("key", "sealed.key", "--ca", authority.ca, code=3, err="sealed")
    run("key", "sealed.key", "--ca", authority.ca, "--passphrase-file", "pass", out="(?m)^dated ")


# ---- answers that are refused ----


def test_wrong_authority(work, authority, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    assert not authority.agrees(id_of(), "own.tsr", ca=stranger.ca)
    refuse(authority, "own.tsr", r"own.tsr: time stamp: its signer is not certified by an authority in .*stranger/ca.pem: unable to get local issuer", ca=stranger.ca)
    run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca)
    run("key", "own.key", "--ca", stranger.ca, code=1, out="(?m)^undated   the stored time stamp is refused: time stamp: its signer is not certified")
    run("key", "own.key", "--ca", "nowhere.pem", code=3, err="nowhere.pem: No such file")
    run("key", "own.key", "--ca", "own.tsr", code=3, err="own.tsr: no certificate in PEM form")


def test_another_id(work, authority):
    assert not authority.agrees(id_of(), "other.tsr")
    refuse(authority, "other.tsr", f'it is over something else than "weightmark key id {id_of()}"')
    run("key", "other.key", "--timestamp", "other.tsr", "--ca", authority.ca)
    content = json.load(open("own.key"))
    content["timestamp"] = json.load(open("other.key"))["timestamp"]
    json.dump(content, open("own.key", "w"))
    run("key", "own.key", "--ca", authority.ca, code=1, out="undated   the stored time stamp is refused: time stamp: it is over something else")


def test_changed_answers(work, authority):
    """Accepted where the oracle accepts, with the same date; refused where it refuses. tests/mark changes every byte."""
    content, accepted = open("own.tsr", "rb").read(), []
    first = run_json("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca)
    before = open("own.key", "rb").read()
    for at in range(3, len(content), 23):
        open("changed", "wb").write(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
        agrees = authority.agrees(id_of(), "changed")
        done = subprocess.run([tools.PROGRAM, "key", "own.key", "--timestamp", "changed", "--ca", authority.ca, "--force", "--json"], capture_output=True, text=True)
        assert done.returncode == (0 if agrees else 3), f"byte {at}: {done.stderr}"
        if agrees:
            accepted.append(at)
            assert json.loads(done.stdout) == first
            open("own.key", "wb").write(before)
        assert open("own.key", "rb").read() == before
    assert len(accepted) < 4


@pytest.mark.parametrize("extensions,why", [("no_purpose", "un(suitable|supported) certificate purpose"), ("not_critical", "un(suitable|supported) certificate purpose"),
                                            ("two_purposes", "un(suitable|supported) certificate purpose")])
def test_certificate_for_something_else(work, authority, extensions, why):
    authority.certify(extensions, extensions)
    authority.forge("own.tsr", "forged", extensions)
    assert not authority.agrees(id_of(), "forged", token=True)
    refuse(authority, "forged", f"not certified by an authority in .*: {why}")


def test_forged_token_is_like_a_real_one(work, authority):
    """That the three above are refused for their certificates, and not for how they were made."""
    authority.forge("own.tsr", "token", "tsa")
    assert authority.agrees(id_of(), "token", token=True)
    run("key", "own.key", "--timestamp", "token", "--ca", authority.ca, out="(?m)^dated ")


def test_certificate_at_the_stamped_time(work, authority):
    authority.certify("past", end="20210101000000Z")
    authority.forge("own.tsr", "late", "past")
    assert not authority.agrees(id_of(), "late", token=True)
    refuse(authority, "late", "certificate has expired")
    authority.certify("future", begin="20390101000000Z")
    authority.forge("own.tsr", "early", "future")
    refuse(authority, "early", "certificate is not yet valid")


def test_weak_signatures(work, authority):
    authority.configure(digest="sha1")
    authority.answer("own.tsq", "sha1.tsr")
    authority.configure()
    assert authority.agrees(id_of(), "sha1.tsr") # we are stricter
    refuse(authority, "sha1.tsr", "not supported: .*signature by another hash function than SHA-256")
    authority.certify("small", key=["-newkey", "rsa:1024"])
    authority.answer("own.tsq", "small.tsr", "small")
    refuse(authority, "small.tsr", "key too weak")


def test_other_hashes_of_the_statement(work, authority):
    open("statement", "w").write(f"weightmark key id {id_of()}\n")
    for name in ("sha1", "sha384", "sha512"):
        subprocess.run(["openssl", "ts", "-query", "-data", "statement", f"-{name}", "-cert", "-out", f"{name}.tsq"], check=True, capture_output=True)
    authority.configure(digests="sha1, sha384, sha512")
    for name in ("sha1", "sha384", "sha512"):
        authority.answer(f"{name}.tsq", f"{name}.tsr")
    authority.configure()
    refuse(authority, "sha1.tsr", "not supported: .*hashed by another function")
    for name in ("sha384", "sha512"):
        run("key", "own.key", "--timestamp", f"{name}.tsr", "--ca", authority.ca, "--force", out="(?m)^dated ")


def test_rejected_request(work, authority):
    authority.configure(digests="sha512")
    authority.answer("own.tsq", "no.tsr")
    authority.configure()
    assert not authority.agrees(id_of(), "no.tsr")
    refuse(authority, "no.tsr", r"no.tsr: time stamp: the authority refused the request \(status 2\): .*algorithm")


def test_malformed_answers(work, authority):
    content = open("own.tsr", "rb").read()
    html = b"<html><body>503 Service Unavailable</body></html>\n"
    for name, what, why in (("half", content[: len(content) // 2], "neither"), ("more", content + b"\0", "bytes after"), ("empty", b"", "empty"),
                            ("huge", content + bytes(1 << 20), "at most 131072 are allowed"), ("html", html, "neither DER nor PEM"),
                            ("query", open("own.tsq", "rb").read(), "neither a time-stamp response nor a token"),
                            ("ca", open(authority.ca, "rb").read(), "neither a time-stamp response nor a token")):
        open(name, "wb").write(what)
        refuse(authority, name, f"{name}: .*{why}")
    refuse(authority, "nowhere", "nowhere: No such file")
    refuse(authority, ".", "folder")


def test_hostile_signer(work, authority):
    """A name out of a certificate must not drive the terminal, nor end a line."""
    authority.certify("evil", subject="/O=\x1b[2Jfound\x9b/CN=bank\nfound: the mark")
    authority.answer("own.tsq", "evil.tsr", "evil")
    text = run("key", "own.key", "--timestamp", "evil.tsr", "--ca", authority.ca).stdout
    assert re.search(rf"(?m)^dated     {UTC} by bank\?found: the mark, \?\[2Jfound\?\?$", text), text
    assert "\x1b" not in text and "\x9b" not in text
    assert run_json("key", "own.key", "--ca", authority.ca)["dated_by"] == "bank?found: the mark, ?[2Jfound??"


# ---- the key file ----


@pytest.mark.parametrize("value", ["Z2FyYmFnZQ==", "MIIB" * 1000])
def test_garbage_in_the_key(work, authority, value):
    content = json.load(open("own.key"))
    content["timestamp"] = value
    json.dump(content, open("own.key", "w"))
    run("key", "own.key", out="undated   a time stamp is stored; --ca FILE checks it")
    run("key", "own.key", "--ca", authority.ca, code=1, out="(?m)^undated   the stored time stamp is refused: time stamp: ")
    found = run_json("verify", "marked.safetensors", "--key", "own.key", "--ca", authority.ca)
    assert (found["verdict"], found["dated"], found["dated_by"]) == ("found", None, None)
    run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca, "--force")
    run("key", "own.key", "--ca", authority.ca, out="(?m)^dated ")


def test_no_base64_in_the_key(work):
    content = json.load(open("own.key"))
    content["timestamp"] = "Z2Fy*"
    json.dump(content, open("own.key", "w"))
    run("verify", "marked.safetensors", "--key", "own.key", code=3, err='own.key: key: "timestamp": not base64')


def test_usage(work, authority):
    run("key", "own.key", "--timestamp", "own.tsr", code=2, err="--timestamp needs --ca")
    run("key", "own.key", "--timestamp", "own.tsr", "--timestamp-request", "f", "--ca", authority.ca, code=2, err="exclude each other")
    run("key", "own.key", "--timestamp-request", "f", "--ca", authority.ca, code=2, err="exclude each other")


# ---- verdicts ----

CAUTION = r"Nothing proves that the key is older than the model\."
SHOULD = "An undated key should have 100 bits"


def test_verdict_of_a_dated_key(work, authority):
    command = ["verify", "marked.safetensors", "--key", "own.key"]
    text = run(*command).stdout
    assert re.search(rf"(?m)^undated   no time stamp is stored\n +{CAUTION}", text) and SHOULD not in text
    run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca)
    text = run(*command).stdout
    assert re.search(rf"(?m)^undated   a time stamp is stored; --ca FILE checks it\n +{CAUTION}", text)
    text = run(*command, "--ca", authority.ca).stdout
    assert re.search(rf"(?m)^dated     {UTC} by Test TSA, Zeit AG\nbits ", text) and not re.search(CAUTION, text)
    plain, found = run_json(*command), run_json(*command, "--ca", authority.ca)
    assert (plain["dated"], plain["dated_by"]) == (None, None)
    assert re.fullmatch(UTC, found["dated"]) and found["dated_by"] == "Test TSA, Zeit AG"
    assert {**found, "dated": None, "dated_by": None} == plain
    run(*command, "--ca", "nowhere.pem", code=3, err="nowhere.pem")


def test_verdict_below_100_bits(work, authority):
    """Found from 64 bits on, dated or not; below 100 an undated key's verdict says that it should have more."""
    run("embed", "m.safetensors", "--key", "own.key", "-o", "weak.safetensors", "--margin", "1")
    found = run_json("verify", "weak.safetensors", "--key", "own.key")
    assert found["verdict"] == "found" and 64 < found["evidence_bits"] < 100
    run("verify", "weak.safetensors", "--key", "own.key", out=rf"(?s){CAUTION}.*about 2\^{found['evidence_bits']:.0f} keys.*{SHOULD}")
    run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca)
    assert SHOULD not in run("verify", "weak.safetensors", "--key", "own.key", "--ca", authority.ca).stdout


def test_verdict_not_found(work):
    text = run("verify", "m.safetensors", "--key", "own.key", code=1).stdout
    assert "undated   no time stamp is stored\n" in text and not re.search(CAUTION, text)


def test_several_verdicts(work, authority):
    run("key", "other.key", "--timestamp", "other.tsr", "--ca", authority.ca)
    run("embed", "m.safetensors", "--key", "other.key", "-o", "theirs.safetensors")
    run("keygen", "-o", "third.key", "--model", "m.safetensors", "--carrier", "weights", "--bits", "32")
    command = ["verify", "marked.safetensors", "theirs.safetensors", "--key", "own.key", "--key", "other.key", "--key", "third.key", "--ca", authority.ca]
    text = run(*command).stdout
    assert re.search(rf"(?m)^key       own.key: undated \(no time stamp is stored\)\n +{CAUTION}", text)
    assert re.search(rf"(?m)^key       other.key: dated {UTC} by Test TSA, Zeit AG$", text)
    assert "third.key:" not in text
    dates = {(r["key_id"], r["model"]): r["dated"] for r in run_json(*command)["results"]}
    assert len(dates) == 6 and all((date is not None) == (key == id_of("other.key")) for (key, _), date in dates.items())


@pytest.mark.training
def test_report(work, authority):
    run("report", "marked.safetensors", "--key", "own.key", "-o", "a.html", "--quiet")
    page = open("a.html").read()
    assert f"Key {id_of()}, undated (no time stamp is stored). Nothing proves that the key is older than the model" in page
    run("key", "own.key", "--timestamp", "own.tsr", "--ca", authority.ca)
    made = run_json("report", "marked.safetensors", "--key", "own.key", "-o", "b.html", "--quiet", "--ca", authority.ca)
    assert re.search(rf"Key {id_of()}, dated {UTC} by Test TSA, Zeit AG\.", open("b.html").read())
    assert made["runs"][0]["verification"]["dated_by"] == "Test TSA, Zeit AG"
