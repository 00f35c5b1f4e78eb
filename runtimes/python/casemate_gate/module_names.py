"""By which modules a package may be imported, where only its name is known."""

from __future__ import annotations

from typing import Final

# The package, and its modules where they can't be told from its name.
_OTHER: Final = {
    name: frozenset(modules)
    for name, *modules in map(
        str.split,
        """
    absl-py absl
    antlr4-python3-runtime antlr4
    argon2-cffi argon2
    attrs attr attrs
    beautifulsoup4 bs4
    biopython bio
    delta-spark delta
    django-cors-headers corsheaders
    django-filter django_filters
    djangorestframework rest_framework
    dnspython dns
    faiss-cpu faiss
    gitpython git
    googleapis-common-protos google
    grpcio grpc
    haystack-ai haystack
    imbalanced-learn imblearn
    kafka-python kafka
    linkify-it-py linkify_it
    markdown-it-py markdown_it
    mysqlclient mysqldb
    odfpy odf
    opencv-contrib-python cv2
    opencv-python cv2
    opencv-python-headless cv2
    pillow pil
    protobuf google
    psycopg-binary psycopg psycopg_binary
    psycopg2-binary psycopg2
    pycryptodome crypto
    pycryptodomex cryptodome
    pygithub github
    pyjwt jwt
    pymupdf fitz pymupdf
    pynacl nacl
    pyopenssl openssl
    pyserial serial
    pyshp shapefile
    pysocks socks sockshandler
    python-json-logger pythonjsonlogger
    pytorch-lightning pytorch_lightning lightning
    pywavelets pywt
    pywin32 win32api win32con win32com win32file win32event win32service pythoncom pywintypes
    pyyaml yaml
    pyzmq zmq
    scikit-image skimage
    scikit-learn sklearn
    setuptools setuptools pkg_resources
    umap-learn umap
    websocket-client websocket
    """.strip().splitlines(),
    )
}
# Of `azure-core` and `google-auth` the first word is a package that many have a part of.
_SHARED: Final = frozenset(
    "airflow apache azure backports cognite databricks google jaraco mysql opentelemetry paho ruamel snowflake zope".split()
)


def modules_of(package: str) -> frozenset[str]:
    """`package`: normalised. In small letters; more than it has, so that none is missed."""
    if package in _OTHER:
        return _OTHER[package]
    found = set()
    short = package.removeprefix("python-").removesuffix("-python").removesuffix("-py").removesuffix("-client")
    for name in (package, short):
        found |= {name.replace("-", "_"), name.replace("-", ""), name.replace("-", "_").removeprefix("py")}
    first = package.partition("-")[0]
    return frozenset((found | {first}) if first in _SHARED else found)
