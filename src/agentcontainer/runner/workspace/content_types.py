"""The content types of output files, by the suffix of their names.

The table is the platform's own, so that a type is the same on every host and with every Python, and an output policy
that asks for one always means the same.
"""

from pathlib import PurePosixPath

UNKNOWN = "application/octet-stream"

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_SUFFIXES = {
    # text
    "text/plain": "txt log text rst ini cfg conf env diff patch srt "
    "c h cc cpp hpp cs go java kt lua pl php r rb rs scala swift ts tsx jsx vue",
    "text/markdown": "md markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "text/x-python": "py",
    "text/calendar": "ics",
    "text/vtt": "vtt",
    "text/xml": "xml",
    "application/xml": "xsl xslt rdf wsdl",
    "application/n-triples": "nt",
    "application/x-tex": "tex",
    "text/x-vcard": "vcf",
    # data
    "application/json": "json",
    "application/manifest+json": "webmanifest",
    "application/jsonl": "jsonl ndjson",
    "application/geo+json": "geojson",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "application/sql": "sql",
    "application/x-ipynb+json": "ipynb",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow feather",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/x-hdf5": "h5 hdf5",
    "application/x-netcdf": "nc cdf",
    "application/x-sh": "sh",
    "application/wasm": "wasm",
    # documents
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    f"{_OFFICE}wordprocessingml.document": "docx",
    f"{_OFFICE}spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}presentationml.presentation": "pptx",
    f"{_OPEN_DOCUMENT}text": "odt",
    f"{_OPEN_DOCUMENT}spreadsheet": "ods",
    f"{_OPEN_DOCUMENT}presentation": "odp",
    "message/rfc822": "eml mht mhtml",
    # images, sound, video, fonts
    "image/png": "png",
    "image/jpeg": "jpg jpeg jpe",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/bmp": "bmp",
    "image/vnd.microsoft.icon": "ico",
    "audio/mpeg": "mp3 mp2",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg oga",
    "audio/opus": "opus",
    "audio/x-aiff": "aif aiff",
    "audio/flac": "flac",
    "audio/x-wav": "wav",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/mpeg": "mpeg mpg",
    "video/x-msvideo": "avi",
    "video/x-matroska": "mkv",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "model/gltf-binary": "glb",
    # archives: a compressed file has the type of its compression
    "application/zip": "zip",
    "application/x-tar": "tar",
    "application/gzip": "gz tgz svgz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-xz": "xz txz",
    "application/zstd": "zst tzst",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/java-archive": "jar",
}
_TYPES = {suffix: type_ for type_, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def content_type_of(filename: str) -> str:
    """The content type for the name's suffix."""
    return _TYPES.get(PurePosixPath(filename).suffix[1:].lower(), UNKNOWN)
