"""Where a product and its pictures are on the web."""

from urllib.parse import quote


def product_url(public_url: str, slug: str) -> str:
    """The address of the product's page that everybody is told; the others lead there."""
    return f"{public_url}/products/{quote(slug)}"


def picture_url(image: str, media_url: str) -> str:
    """Pictures of our own are kept as paths below MEDIA_URL; what has an address of its own keeps it."""
    return image if image.startswith(("http://", "https://", "/")) or not media_url else f"{media_url}/{image}"
