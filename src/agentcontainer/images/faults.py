"""Why an image cannot be had, apart by whose fault it is."""


class ImageFault(Exception):
    """`str(error)` goes on where a sentence for the client begins with "The image", without host paths."""


class ImageRefused(ImageFault):
    """The image, or its name, is wrong: the same again would fail again."""


class ImageUnreachable(ImageFault):
    """Not the client's fault: the registry is away, or this host lacks a program. Later it may work."""


def too_large(max_bytes: int) -> ImageRefused:
    return ImageRefused(
        f"has more than the {max_bytes} bytes that one may have (AGENTCONTAINER_MAX_IMAGE_BYTES)"
    )
