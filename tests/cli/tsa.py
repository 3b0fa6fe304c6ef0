"""A time-stamping authority, played by the program openssl in a folder of its own."""
import os
import subprocess

CONFIG = """
[ca]
default_ca = this
[this]
dir = .
database = index
new_certs_dir = .
rand_serial = yes
default_md = {hash}
policy = any
unique_subject = no
copy_extensions = none
[any]
organizationName = optional
commonName = optional
[req]
distinguished_name = empty
prompt = no
[empty]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[good]
extendedKeyUsage = critical,timeStamping
[no_purpose]
basicConstraints = CA:FALSE
[not_critical]
extendedKeyUsage = timeStamping
[two_purposes]
extendedKeyUsage = critical,timeStamping,codeSigning
[stamping]
serial = serial
signer_digest = {digest}
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1, millisecs:500
ess_cert_id_alg = sha256
"""
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


class Authority:
    """A certificate authority `ca.pem` and a stamping certificate `NAME.pem`, NAME.key for each call of certify."""

    def __init__(self, folder, name="Test CA"):
        self.folder = str(folder)
        os.makedirs(folder, exist_ok=True)
        self.path = lambda name: os.path.join(self.folder, name)
        open(self.path("index"), "w").close()
        open(self.path("serial"), "w").write("01\n")
        self.configure()
        self.openssl("req", "-x509", *EC, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "7000", "-subj", f"/CN={name}", "-config", "config",
                     "-extensions", "authority")
        self.ca = self.path("ca.pem")

    def configure(self, digest="sha256", digests="sha256, sha384, sha512"):
        open(self.path("config"), "w").write(CONFIG.format(digest=digest, digests=digests, hash="sha256"))

    def openssl(self, *arguments, check=True):
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, capture_output=True)
        assert not check or done.returncode == 0, done.stderr.decode(errors="replace")
        return done

    def certify(self, name="tsa", extensions="good", subject="/O=Zeit AG/CN=Test TSA", begin="20200101000000Z", end="20400101000000Z", key=EC):
        self.openssl("req", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject, "-utf8", "-config", "config")
        self.openssl("ca", "-batch", "-config", "config", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext",
                     "-startdate", begin, "-enddate", end, "-extensions", extensions)

    def answer(self, request, out, name="tsa"):
        """A TimeStampResp."""
        self.openssl("ts", "-reply", "-config", "config", "-section", "stamping", "-queryfile", os.path.abspath(request), "-signer", f"{name}.pem",
                     "-inkey", f"{name}.key", "-out", os.path.abspath(out))

    def forge(self, answer, out, name):
        """The content of an answer under another signature, as a bare token: `openssl ts` itself refuses such signers."""
        self.openssl("ts", "-reply", "-config", "config", "-in", os.path.abspath(answer), "-token_out", "-out", "token")
        self.openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "content")
        self.openssl("cms", "-sign", "-binary", "-nodetach", "-cades", "-md", "sha256", "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", "content",
                     "-signer", f"{name}.pem", "-inkey", f"{name}.key", "-outform", "DER", "-out", os.path.abspath(out))

    def agrees(self, key_id, answer, ca=None, token=False, at=None):
        """What `openssl ts -verify` says of an answer, the oracle of these tests."""
        open(self.path("statement"), "w").write(f"weightmark key id {key_id}\n")
        done = self.openssl("ts", "-verify", "-data", "statement", "-in", os.path.abspath(answer), "-CAfile", ca or "ca.pem",
                            *(["-token_in"] if token else []), *(["-attime", str(at)] if at else []), check=False)
        return done.returncode == 0
