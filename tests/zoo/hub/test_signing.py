"""Signed models: nothing is fetched that the key's owner did not sign."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo.hub.web import files_below
from zoo.hub import index as schema
from zoo.hub import open_hub

pytest.importorskip("model_signing")
pytest.importorskip("OpenSSL")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOT_BY = "its signature is not by {} over the files that the index names; do not use it; " + (
    "ask its publisher"
)


def write_keys(folder: Path, name: str, key=None, password: bytes | None = None) -> None:
    key = key or ec.generate_private_key(ec.SECP256R1())
    how = serialization.BestAvailableEncryption(password) if password else None
    (folder / f"{name}.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            how or serialization.NoEncryption(),
        )
    )
    (folder / f"{name}.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


@pytest.fixture
def signed(zoo, hub, tmp_path) -> Path:
    """The hub, its model signed by `mine.pem`."""
    for name in ("mine", "other"):
        write_keys(tmp_path, name)
    models = [hub / f"2_3_4/1.0/net{part}.onnx" for part in ("", ".encoder", ".decoder")]
    run = zoo("publish", *models, "--hub", hub, "--sign", "mine.pem", "--json")
    assert run.status == 0, run.err
    assert run.json["outcome"] == "mended"
    return hub


def test_what_was_signed_is_pulled(zoo, cache, signed, web, tmp_path):
    for number, where in enumerate((web.url, signed)):
        for options in ([], ["--target", "portable"]):
            out = f"out{number}{len(options)}"
            run = zoo("pull", "2_3_4", "--hub", where, "--verify", "mine.pub", "-o", out, *options)
            assert run.status == 0, run.err
            assert "by the owner of mine.pub" in run.out
            assert {"README.md", "model.sig"} <= files_below(tmp_path / out)
    # What others have for it says so, too.
    command = ["-m", "model_signing", "verify", "key", "--public_key", "mine.pub", "--signature"]
    run = subprocess.run(
        [sys.executable, *command, "out00/model.sig", "out00"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def refused(zoo, cache, web, tmp_path, said: str, key: str = "mine.pub") -> None:
    """One line, and nothing fetched but the signature."""
    asked = len(web.asked)
    assert zoo("pull", "2_3_4", "--hub", web.url, "--verify", key, "-o", "out").refusal == said
    assert {Path(path).name for path in web.asked[asked:]} <= {"index.json", "model.sig"}
    assert not (tmp_path / "out").exists()
    assert files_below(cache / "models") <= {"model.sig"}


def test_another_key(zoo, cache, signed, web, tmp_path):
    refused(zoo, cache, web, tmp_path, f"2_3_4@1.0: {NOT_BY.format('other.pub')}", "other.pub")


def test_a_model_that_is_not_signed(zoo, cache, hub, web, tmp_path):
    write_keys(tmp_path, "mine")
    said = "2_3_4@1.0: not signed; leave --verify out, or ask its publisher"
    refused(zoo, cache, web, tmp_path, said)


CHANGES = {
    "another digest": lambda files: files[0].update(sha256="ab" * 32),
    "a file more": lambda files: files.append({**files[0], "name": "more.onnx"}),
    "a file less": lambda files: files.pop(1),
    "another name": lambda files: files[1].update(name="x.onnx"),
    "two change places": lambda files: (
        files[0].update(name="net.encoder.onnx"),
        files[1].update(name="net.onnx"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_index_that_names_other_files(zoo, cache, signed, web, tmp_path, name):
    data = json.loads((signed / "index.json").read_text())
    CHANGES[name](data["models"][0]["files"])
    (signed / "index.json").write_text(json.dumps(data))
    refused(zoo, cache, web, tmp_path, f"2_3_4@1.0: {NOT_BY.format('mine.pub')}")


def put_signature(hub: Path, content: bytes) -> None:
    """A signature as a hub of others may have it."""
    from zoo.hub.publishing import _described

    (hub / "2_3_4/1.0/model.sig").write_bytes(content)
    data = json.loads((hub / "index.json").read_text())
    file = _described("model.sig", content)
    data["models"][0]["files"][-1] |= {"size": file.size, "sha256": file.sha256}
    (hub / "index.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"verificationMaterial": {"publicKey": {}}, "dsseEnvelope": {}}',
        b"\xff\xfe",
    ],
)
def test_a_signature_that_is_none(zoo, cache, signed, web, tmp_path, content):
    put_signature(signed, content)
    refused(zoo, cache, web, tmp_path, f"2_3_4@1.0: {NOT_BY.format('mine.pub')}")


def test_a_signature_that_is_changed(zoo, cache, signed, web, tmp_path):
    bundle = json.loads((signed / "2_3_4/1.0/model.sig").read_text())
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    put_signature(signed, json.dumps(bundle).encode())
    refused(zoo, cache, web, tmp_path, f"2_3_4@1.0: {NOT_BY.format('mine.pub')}")
    bundle["verificationMaterial"]["publicKey"]["hint"] = ""  # the library prints of such
    put_signature(signed, json.dumps(bundle).encode())
    refused(zoo, cache, web, tmp_path, f"2_3_4@1.0: {NOT_BY.format('mine.pub')}")


def test_a_signature_that_is_large(zoo, cache, signed, web, tmp_path):
    data = json.loads((signed / "index.json").read_text())
    data["models"][0]["files"][-1]["size"] = schema.LARGEST_SIGNATURE + 1
    (signed / "index.json").write_text(json.dumps(data))
    refused(zoo, cache, web, tmp_path, "2_3_4@1.0: its signature has 1048577 bytes")


def test_the_signature_of_another_version(zoo, cache, signed, web, tmp_path):
    """Signed as 1.0, and given out as 2.0 or by another name."""
    data = json.loads((signed / "index.json").read_text())
    (model,) = data["models"]
    data["models"] += [{**model, "version": "2.0"}, {**model, "name": "newer"}]
    (signed / "index.json").write_text(json.dumps(data))
    shutil.copytree(signed / "2_3_4/1.0", signed / "2_3_4/2.0")
    shutil.copytree(signed / "2_3_4", signed / "newer")
    for label in ("2_3_4@2.0", "newer@1.0"):
        refusal = zoo("pull", label, "--hub", web.url, "--verify", "mine.pub").refusal
        assert refusal == f"{label}: {NOT_BY.format('mine.pub')}"
    assert zoo("pull", "2_3_4@1.0", "--hub", web.url, "--verify", "mine.pub").status == 0


def test_files_are_checked_after_the_signature(zoo, cache, signed, web, tmp_path):
    path = signed / "2_3_4/1.0/net.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for where in (signed, web.url):
        refusal = zoo("pull", "2_3_4", "--hub", where, "--verify", "mine.pub", "-o", "o").refusal
        assert "sha256 is not the one in the index" in refusal
    assert not (tmp_path / "o").exists()


def test_what_is_said_of_a_signed_model_changes(zoo, cache, signed, tmp_path):
    models = [signed / f"2_3_4/1.0/net{part}.onnx" for part in ("", ".encoder", ".decoder")]
    command = ["publish", *models, "--hub", signed]
    before = (signed / "2_3_4/1.0/model.sig").read_bytes()
    assert zoo(*command, "--json").json["outcome"] == "unchanged"
    assert zoo(*command, "--sign", "mine.pem", "--json").json["outcome"] == "unchanged"
    assert (signed / "2_3_4/1.0/model.sig").read_bytes() == before
    assert zoo(*command, "--licence", "MIT").refusal == (
        "2_3_4@1.0: signed, and what is said of it changes; sign it again, with --sign KEY"
    )
    more = [*command, "--licence", "MIT", "--sign", "other.pem", "--json"]
    assert zoo(*more).json["outcome"] == "mended"
    assert zoo("pull", "2_3_4", "--hub", signed, "--verify", "other.pub").status == 0
    assert zoo("pull", "2_3_4", "--hub", signed, "--verify", "mine.pub").status == 1
    entry = open_hub(signed).index.models[0]
    assert entry.signature is not None and entry.signature.kind == "signature"


def test_keys_that_are_none(zoo, signed, tmp_path):
    (tmp_path / "text.pem").write_text("nothing")
    write_keys(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    write_keys(tmp_path, "curve", ec.generate_private_key(ec.SECP256K1()))
    write_keys(tmp_path, "locked", password=b"secret")
    model = signed / "2_3_4/1.0/net.onnx"
    for key in ("text.pem", "rsa.pem", "curve.pem", "locked.pem", "mine.pub"):
        assert zoo("publish", model, "--hub", "new", "--sign", key).refusal == (
            f"{key}: no private key of an elliptic curve in PEM without a password"
        )
    for key in ("text.pem", "rsa.pub", "curve.pub", "mine.pem"):
        assert zoo("pull", "2_3_4", "--hub", signed, "--verify", key).refusal == (
            f"{key}: no public key of an elliptic curve in PEM"
        )
    refusal = zoo("pull", "2_3_4", "--hub", signed, "--verify", "none.pub").refusal
    assert refusal == "none.pub: no such file"
    assert not (tmp_path / "new").exists()
