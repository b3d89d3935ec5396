"""The HTML pages of a wake link.

They contain text of an agent, so they run no scripts and load nothing.
"""

import base64
import hashlib
from html import escape

from agentcontainer.domain.hibernation.model import WakeLink
from agentcontainer.domain.tasks.event_data import iso

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 36rem; margin: 0 auto; padding: 2rem 1.25rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.3; }
blockquote { margin: 0; padding: .25rem 1rem; border-left: .25rem solid GrayText; white-space: pre-wrap; }
label, textarea, button { display: block; box-sizing: border-box; font: inherit; }
textarea { width: 100%; margin: .25rem 0 1rem; padding: .5rem; }
button { padding: .6rem 1.4rem; cursor: pointer; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def question(link: WakeLink) -> str:
    """Which task the link wakes, and the form that wakes it. The form posts to the page's own URL."""
    until = ""
    if link.hibernate_until_at is not None:
        at = link.hibernate_until_at
        until = f'<p>Without an answer, it wakes on <time datetime="{iso(at)}">{at:%-d %B %Y, %H:%M} UTC</time>.</p>'
    reason = f'<p>Its agent wrote:</p><blockquote dir="auto">{escape(link.message or "")}</blockquote>'
    return _page(
        "Wake this task?",
        f"""<p>The task <strong><bdi>{escape(link.title or "without a title")}</bdi></strong> hibernates.</p>
{reason}
{until}
<form method="post">
<label for="message">A message for the agent (optional)</label>
<textarea id="message" name="message" rows="5" autocomplete="off"></textarea>
<button>Wake the task</button>
</form>
<p>The link works once.</p>""",
    )


def thanks() -> str:
    """The page after the task was woken."""
    return _page("The task was woken", "<p>It continues where it stopped. You can close this page.</p>")


def refusal(message: str) -> str:
    """The page that says why the task was not woken."""
    return _page("The task was not woken", f'<p role="alert">{escape(message)}</p>')


def _page(heading: str, content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{content}
</main>
</body>
</html>
"""
