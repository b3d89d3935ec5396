"""`AGENTCONTAINER_STORAGE_URL`: which URLs are accepted, and the messages for others."""

import pytest

from agentcontainer import settings
from agentcontainer.errors import SettingsError


@pytest.mark.parametrize(
    "url",
    [
        "file:///var/lib/blobs",
        "s3://bucket",
        "s3://my.bucket-1/a/prefix",
        "s3://bucket/p?endpoint=http://127.0.0.1:9000&region=eu-central-1",
        "s3://bucket?endpoint=https%3A%2F%2Fminio.example%3A9000",
    ],
)
def test_valid_storage_urls_are_accepted(url: str) -> None:
    assert settings.load(storage_url=url).storage_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/var/blobs", "file:///absolute/folder or s3://"),
        ("file://relative", "file:///absolute/folder or s3://"),
        ("gs://bucket", "file:///absolute/folder or s3://"),
        ("http://bucket", "file:///absolute/folder or s3://"),
        ("s3://", "must name a bucket"),
        ("s3:///prefix", "must name a bucket"),
        ("s3://UPPER/x", "must name a bucket"),
        ("s3://key:secret@bucket", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket?region", "not a URL"),
        ("s3://bucket?access_key=x", "unknown option access_key"),
        ("s3://bucket?region=a&region=b", "option region twice"),
        ("s3://bucket?endpoint=ftp://x", "endpoint"),
    ],
)
def test_invalid_storage_urls_are_refused_with_a_sentence(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=r"^AGENTCONTAINER_STORAGE_URL is wrong: ") as refused:
        settings.load(storage_url=url)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_uploads_to_s3_cannot_use_post() -> None:
    assert settings.load(upload_method="post").upload_method == "post"
    with pytest.raises(SettingsError, match="AGENTCONTAINER_UPLOAD_METHOD"):
        settings.load(upload_method="post", storage_url="s3://bucket")
