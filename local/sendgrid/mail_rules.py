"""What SendGrid asks of a mail before it accepts it; the errors are in its own form {message, field, help}."""

import re
from collections.abc import Iterator
from typing import Any

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"
MAX_RECIPIENTS = 1000
MAX_CUSTOM_ARGS_BYTES = 10_000
SEND_AT_WITHIN_S = 72 * 3600
# Headers that a mail may not set itself.
RESERVED = frozenset(
    {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
    | {"to", "from", "subject", "reply-to", "cc", "bcc"}
)
_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+\.[^@\s<>,;\".]+|[^@\s<>,;\"]+@localhost")

Error = dict[str, Any]


def check_mail(mail: Any, now: float) -> list[Error]:
    """Everything that is wrong with the request, empty when it will be accepted."""
    if not isinstance(mail, dict):
        return [error("Bad Request", None)]
    return [
        *_check_from(mail),
        *_check_personalizations(mail, now),
        *_check_subject(mail),
        *_check_content(mail),
        *_check_rest(mail, now),
    ]


def error(message: str, field: str | None, anchor: str = "") -> Error:
    return {"message": message, "field": field, "help": f"{HELP}#message.{anchor}" if anchor else None}


def _check_from(mail: dict[str, Any]) -> Iterator[Error]:
    sender = mail.get("from")
    if sender is not None and not isinstance(sender, dict):
        yield error(f"Invalid type. Expected: object, given: {_kind(sender)}.", "from", "from")
    elif not sender or not sender.get("email"):
        yield error(
            "The from object must be provided for every email send. It is an object that requires the email parameter,"
            ' but may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or {"email" :'
            ' "example@example.com", "name" : "Example Recipient"}.',
            "from.email",
            "from",
        )
    elif not is_address(sender["email"]):
        yield error("The from email does not contain a valid address.", "from.email", "from.email")
    reply_to = mail.get("reply_to")
    if reply_to is not None and not (isinstance(reply_to, dict) and is_address(reply_to.get("email"))):
        yield error("The reply_to email does not contain a valid address.", "reply_to.email", "reply_to")
    if reply_to is not None and mail.get("reply_to_list"):
        yield error("The reply_to and reply_to_list parameters cannot be used together.", "reply_to", "reply_to")


def _check_personalizations(mail: dict[str, Any], now: float) -> Iterator[Error]:
    personalizations = mail.get("personalizations")
    if not isinstance(personalizations, list) or not personalizations:
        yield error(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
            "personalizations",
        )
        return
    if len(personalizations) > MAX_RECIPIENTS:
        yield error("There may not be more than 1000 personalizations.", "personalizations", "personalizations")
    recipients = 0
    for index, personalization in enumerate(personalizations):
        at = f"personalizations.{index}"
        if not isinstance(personalization, dict):
            yield error(f"Invalid type. Expected: object, given: {_kind(personalization)}.", at, "personalizations")
            continue
        seen: set[str] = set()
        if not personalization.get("to"):
            yield error(
                "The to array is required for all personalization objects, and must have at least one email object "
                "with a valid email address.",
                f"{at}.to",
                "personalizations.to",
            )
        for name in ("to", "cc", "bcc"):
            for number, recipient in enumerate(_list(personalization.get(name))):
                recipients += 1
                address = recipient.get("email") if isinstance(recipient, dict) else None
                if not is_address(address):
                    yield error("Does not contain a valid address.", f"{at}.{name}.{number}.email", f"{name}.email")
                elif str(address).lower() in seen:
                    yield error(
                        "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                        f"found the first duplicate instance of [{address}] in the {at}.{name} field.",
                        "personalizations",
                        "recipient-errors",
                    )
                else:
                    seen.add(str(address).lower())
        yield from _check_args(personalization.get("custom_args"), f"{at}.custom_args")
        yield from _check_headers(personalization.get("headers"), f"{at}.headers")
        yield from _check_send_at(personalization.get("send_at"), f"{at}.send_at", now)
    if recipients > MAX_RECIPIENTS:
        yield error("The total number of recipients may not be more than 1000.", "personalizations", "recipient-errors")


def _check_subject(mail: dict[str, Any]) -> Iterator[Error]:
    if mail.get("subject") is not None and not isinstance(mail["subject"], str):
        yield error(f"Invalid type. Expected: string, given: {_kind(mail['subject'])}.", "subject", "subject")
    elif not mail.get("subject") and not mail.get("template_id"):
        personalizations = _list(mail.get("personalizations"))
        if not personalizations or not all(isinstance(p, dict) and p.get("subject") for p in personalizations):
            yield error(
                "The subject is required. You can get around this requirement if you use a template with a subject "
                "defined or if every personalization has a subject defined.",
                "subject",
                "subject",
            )


def _check_content(mail: dict[str, Any]) -> Iterator[Error]:
    content = mail.get("content")
    if content is None and mail.get("template_id"):
        return
    if not isinstance(content, list) or not content:
        yield error(
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
            "defined content block. We typically suggest both text/plain and text/html blocks are included, but only "
            "one block is required.",
            "content",
            "content",
        )
        return
    kinds = []
    for index, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        kinds.append(kind)
        if not isinstance(kind, str) or not kind:
            yield error("The content type must be a string at least one character long.", f"content.{index}.type")
        elif re.search(r"[;,\r\n]", kind):
            yield error("The content type cannot contain ;, or CRLF characters.", f"content.{index}.type")
        value = block.get("value") if isinstance(block, dict) else None
        if not isinstance(value, str) or not value:
            yield error(
                "The content value must be a string at least one character in length.",
                f"content.{index}.value",
                "content.value",
            )
    ranks = [{"text/plain": 0, "text/html": 1}.get(str(kind), 2) for kind in kinds]
    if ranks != sorted(ranks):
        yield error(
            "If present, text/plain must be the first content block, then text/html, then any other type.",
            "content",
            "content",
        )
    for kind in ("text/plain", "text/html"):
        if kinds.count(kind) > 1:
            yield error(f"There can be only one {kind} content block.", "content", "content")


def _check_rest(mail: dict[str, Any], now: float) -> Iterator[Error]:
    yield from _check_args(mail.get("custom_args"), "custom_args")
    yield from _check_headers(mail.get("headers"), "headers")
    yield from _check_send_at(mail.get("send_at"), "send_at", now)
    categories = mail.get("categories")
    if categories is not None:
        if not isinstance(categories, list) or not all(isinstance(category, str) for category in categories):
            yield error("The categories parameter must be an array of strings.", "categories", "categories")
        elif len(categories) > 10 or len(set(categories)) < len(categories):
            yield error("There may be up to 10 categories, each of them unique.", "categories", "categories")
        elif any(len(category) > 255 for category in categories):
            yield error("A category may not be longer than 255 characters.", "categories", "categories")
    for index, attachment in enumerate(_list(mail.get("attachments"))):
        for name in ("content", "filename"):
            if not isinstance(attachment, dict) or not attachment.get(name):
                yield error(f"The attachment {name} parameter is required.", f"attachments.{index}.{name}")


def _check_args(args: Any, at: str) -> Iterator[Error]:
    if args is None:
        return
    if not isinstance(args, dict):
        yield error(f"Invalid type. Expected: object, given: {_kind(args)}.", at, "custom_args")
        return
    for name, value in args.items():
        if not isinstance(value, str):
            yield error(f"Invalid type. Expected: string, given: {_kind(value)}.", f"{at}.{name}", "custom_args")
    if sum(len(str(name).encode()) + len(str(value).encode()) for name, value in args.items()) > MAX_CUSTOM_ARGS_BYTES:
        yield error("The combined size of custom_args may not be more than 10,000 bytes.", at, "custom_args")


def _check_headers(headers: Any, at: str) -> Iterator[Error]:
    if headers is None:
        return
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        yield error("The headers parameter must be an object of strings.", at, "headers")
        return
    for name in headers:
        if str(name).lower() in RESERVED:
            yield error(f"{name} is a reserved header and cannot be set.", f"{at}.{name}", "headers")


def _check_send_at(send_at: Any, at: str, now: float) -> Iterator[Error]:
    if send_at is None:
        return
    if not isinstance(send_at, int) or isinstance(send_at, bool):
        yield error(f"Invalid type. Expected: integer, given: {_kind(send_at)}.", at, "send_at")
    elif send_at > now + SEND_AT_WITHIN_S:
        yield error("Scheduling more than 72 hours in advance is forbidden.", at, "send_at")


def is_address(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= 320 and _ADDRESS.fullmatch(text) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return kinds.get(type(value), "unknown")
