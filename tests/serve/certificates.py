"""Certificates for tests: an authority, and what it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """Signs certificates for this machine's loopback address."""

    folder: Path
    name: str = "test-authority"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", ec.generate_private_key(ec.SECP256R1()))
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self.name, self.name, self._key.public_key())
        signed = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.ca.write_bytes(signed.public_bytes(Encoding.PEM))

    _key: ec.EllipticCurvePrivateKey = None  # type: ignore[assignment]

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self.folder / f"{self.name}.pem"

    def sign(self, name: str, password: bytes | None = None) -> tuple[Path, Path]:
        """The files of a certificate and its key; an existing pair of that name is replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = _builder(name, self.name, key.public_key()).add_extension(names, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        certificate, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        kind = BestAvailableEncryption(password) if password else NoEncryption()
        for path, data in (
            (certificate, signed.public_bytes(Encoding.PEM)),
            (key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kind)),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.replace(path)
        return certificate, key_file


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
