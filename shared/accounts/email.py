"""E-mail addresses, as a buyer types them and as the shop keeps them."""

from shared.kernel.errors import Field, Invalid


def parse_email(text: str, *, pointer: str = "/email") -> str:
    """The normalised address (RFC 5321/5322, IDNA; the domain in lower case). Raises Invalid at `pointer`.

    Whether somebody reads it is for a verification mail to show, not for a look at the DNS.
    """
    from email_validator import EmailNotValidError, validate_email  # 30 ms that only a checkout needs

    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise Invalid([Field(pointer, str(error))]) from error
