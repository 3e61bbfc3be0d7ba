"""TLS of the gateway's own doors: the data path's and the API's are the same."""

from __future__ import annotations

import ssl

from gatebook.config.values import TlsFiles
from gatebook.errors import ConfigError


def server_context(files: TlsFiles, where: str) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate; ``where`` is the listener's key. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{where}: tls: {files.cert}: expected a certificate, PEM, and its key ({error})"]) from error
    return context
