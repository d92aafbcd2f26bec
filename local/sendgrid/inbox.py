"""The inbox as pages for people: a list, and one mail as its reader would see it."""

from html import escape

from aiohttp import web

from local.sendgrid.mailbox import Mailbox

MAILBOX = web.AppKey("MAILBOX", Mailbox)

STYLE = """
body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#f5f7fa;color:#1c2733}
header{background:#12344d;color:#fff;padding:1rem 2rem;font-weight:600}header a{color:#fff}
main{max-width:60rem;margin:1.5rem auto;background:#fff;border:1px solid #dde3ea;border-radius:12px;padding:1rem 1.5rem}
table{width:100%;border-collapse:collapse}td,th{text-align:left;padding:.5rem;border-bottom:1px solid #eef1f5}
td.at{white-space:nowrap;color:#5b6b7b}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem}dt{color:#5b6b7b}dd{margin:0;overflow-wrap:anywhere}
iframe{width:100%;height:46rem;border:1px solid #dde3ea;border-radius:8px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f7fa;padding:1rem;border-radius:8px}
"""


async def mails(request: web.Request) -> web.Response:
    """GET /_local/mail"""
    return web.json_response(request.app[MAILBOX].mails())


async def listing(request: web.Request) -> web.Response:
    """GET /_local/inbox"""
    rows = "".join(
        f"<tr><td class=at>{escape(mail['at'][:19].replace('T', ' '))}</td><td>{escape(mail['to'])}</td>"
        f"<td><a href='{_listing(request)}/{mail['id']}'>{escape(mail['subject'] or '(no subject)')}</a></td></tr>"
        for mail in reversed(request.app[MAILBOX].mails())
    )
    table = f"<table><tr><th>At (UTC)<th>To<th>Subject</tr>{rows}</table>" if rows else "<p>No mail yet.</p>"
    return _page(request, "Inbox", table)


async def one(request: web.Request) -> web.Response:
    """GET /_local/inbox/{id}"""
    text = request.match_info["id"]
    mail = request.app[MAILBOX].mail(int(text)) if text.isdecimal() and len(text) < 12 else None
    if mail is None:
        return _page(request, "No such mail", "<p>No such mail.</p>", 404)
    shown = {"From": mail["from"], "To": mail["to"], "At": mail["at"], "X-Message-Id": mail["message_id"]}
    shown |= mail["headers"] | mail["custom_args"]
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in shown.items())
    # Sandboxed: a mail's scripts and forms do nothing, as in a mail program; its links open beside the shop.
    frame = f'<iframe sandbox="allow-popups" title="HTML part" srcdoc="{escape(mail["html"])}"></iframe>'
    html = frame if mail["html"] else "<p>No HTML part.</p>"
    plain = f"<h2>Text part</h2><pre>{escape(mail['text'])}</pre>"
    content = f"<h1>{escape(mail['subject'])}</h1><dl>{facts}</dl>{html}{plain}"
    return _page(request, mail["subject"], content)


def _listing(request: web.Request) -> str:
    """The inbox's own path, by whichever way the browser came."""
    before, inbox, _ = request.path.partition("/inbox")
    return before + inbox


def _page(request: web.Request, title: str, content: str, status: int = 200) -> web.Response:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<header><a href='{_listing(request)}'>Inbox</a> of the SendGrid simulator</header>"
        f"<main>{content}</main></html>"
    )
    return web.Response(text=body, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})
