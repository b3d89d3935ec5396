"""The errors for an image that cannot be used: whether the image or the platform is at fault."""


class ImageFault(Exception):
    """`str(error)` continues a sentence for the client that begins with "The image". It has no path of the
    host."""


class ImageRefused(ImageFault):
    """The image or its name is wrong: another try would fail, too."""


class ImageUnreachable(ImageFault):
    """The registry cannot be reached, or this host lacks a program: a later try may succeed."""


def too_large(max_bytes: int) -> ImageRefused:
    return ImageRefused(
        f"has more than {max_bytes} bytes, the limit for an image (AGENTCONTAINER_MAX_IMAGE_BYTES)"
    )
