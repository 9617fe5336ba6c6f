"""A certificate authority for the tests, made by python3-cryptography."""

import datetime
import ipaddress
import pathlib
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


_CA_USAGE = x509.KeyUsage(digital_signature=False, content_commitment=False, key_encipherment=False,
                          data_encipherment=False, key_agreement=False, key_cert_sign=True,
                          crl_sign=True, encipher_only=False, decipher_only=False)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _build(subject, issuer, public, signer, ca, days=2):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer))
               .public_key(public).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(hours=1))
               .not_valid_after(now + datetime.timedelta(days=days))
               .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
               # Python 3.13 checks strictly: RFC 5280 4.2.1.1 wants it in all but the root.
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                              critical=False))
    if ca:
        builder = builder.add_extension(_CA_USAGE, critical=True)
    else:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    def __init__(self, folder):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _build("test root", "test root", self.key.public_key(), self.key, True)
        self.file = folder / "root.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def leaf(self, folder, name, kind="ecdsa", days=2):
        """Write NAME.pem and NAME.key; (chain, key) as text."""
        if kind == "rsa":
            key = rsa.generate_private_key(65537, 2048)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        made = _build(name, "test root", key.public_key(), self.key, False, days)
        chain, secret = folder / (name + ".pem"), folder / (name + ".key")
        chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(_pem(key))
        secret.chmod(0o600)
        return str(chain), str(secret)


KEYS = {
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p192": lambda: ec.generate_private_key(ec.SECP192R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
}
USAGES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


class Issued:
    """A certificate with its key, written to NAME.pem (with its chain) and NAME.key."""

    def __init__(self, folder, name, certificate, key, above=()):
        self.name, self.certificate, self.key, self.above = name, certificate, key, list(above)
        self.chain = str(folder / (name + ".pem"))
        self.secret = str(folder / (name + ".key"))
        pems = [x.public_bytes(serialization.Encoding.PEM) for x in [certificate, *above]]
        (folder / (name + ".pem")).write_bytes(b"".join(pems))
        (folder / (name + ".key")).write_bytes(_pem(key))

    @property
    def pair(self):
        return self.chain, self.secret


def _der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _with_sha1(certificate, signer):
    """The same certificate, signed with ECDSA and SHA-1. The cryptography of Debian 13 refuses to make one, so the name
    of the algorithm is replaced here, and `openssl` signs."""
    sha256, sha1 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
    parts = certificate.tbs_certificate_bytes
    assert parts.count(sha256) == 1 and parts[:2] == b"\x30\x82"
    parts = _der(0x30, parts[4:].replace(sha256, sha1))
    with tempfile.TemporaryDirectory() as folder:
        key, data = pathlib.Path(folder, "key"), pathlib.Path(folder, "data")
        key.write_bytes(_pem(signer))
        data.write_bytes(parts)
        signature = subprocess.run(["openssl", "dgst", "-sha1", "-sign", str(key), str(data)], check=True,
                                   capture_output=True).stdout
    return x509.load_der_x509_certificate(_der(0x30, parts + sha1 + _der(0x03, b"\0" + signature)))


class Maker:
    """Certificates of every shape, good and bad, all below roots of its own."""

    def __init__(self, folder):
        self.folder = folder

    def issue(self, name, issuer=None, dns=(), uri=(), ip=(), usage=("client",), ca=False,
              kind="ecdsa", sha1=False, valid=(-1, 48)):
        """`valid`: hours from now. Without an issuer it signs itself. `sha1`: with that instead of SHA-256."""
        key = KEYS[kind]()
        signer = issuer.key if issuer else key
        above = issuer.certificate.subject if issuer else _name(name)
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(_name(name)).issuer_name(above)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(hours=valid[0]))
                   .not_valid_after(now + datetime.timedelta(hours=valid[1]))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                   # Python 3.13 checks strictly: RFC 5280 4.2.1.1 and 4.2.1.2.
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                                  critical=False))
        names = ([x509.DNSName(x) for x in dns] +
                 [x509.UniformResourceIdentifier(x) for x in uri] +
                 [x509.IPAddress(ipaddress.ip_address(x)) for x in ip])
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage and not ca:
            usages = x509.ExtendedKeyUsage([USAGES[x] for x in usage])
            builder = builder.add_extension(usages, critical=False)
        if ca:
            # RFC 5280 4.2.1.3, as strictly.
            builder = builder.add_extension(_CA_USAGE, critical=True)
        made = builder.sign(signer, hashes.SHA256())
        if sha1:
            made = _with_sha1(made, signer)
        chain = [issuer.certificate, *issuer.above] if issuer and issuer.above is not None else []
        # The root is not sent: whoever trusts it has it.
        chain = [x for x in chain if x.issuer != x.subject]
        return Issued(self.folder, name, made, key, chain)

    def authority(self, name, issuer=None, **kwargs):
        return self.issue(name, issuer, usage=(), ca=True, **kwargs)

    @staticmethod
    def crl(authority, path, revoked=(), valid=(-1, 48), signer=None):
        """Write a revocation list of an authority, signed by `signer` if that is another."""
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(authority.certificate.subject)
                   .last_update(now + datetime.timedelta(hours=valid[0]))
                   .next_update(now + datetime.timedelta(hours=valid[1])))
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
                .revocation_date(now - datetime.timedelta(minutes=30)).build())
        made = builder.sign((signer or authority).key, hashes.SHA256())
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path
