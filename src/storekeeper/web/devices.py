"""What browsers call themselves, in words by which people know their devices."""

from __future__ import annotations

# The first that is found counts: most browsers name those before them too.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Macintosh": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def device_name(client: str) -> str:
    """Such as "Firefox, Linux"; whatever doesn't call itself a browser stays what it is."""
    if not client.startswith("Mozilla/"):
        return client
    found = [
        next((name for sign, name in names.items() if sign in client), "")
        for names in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(name for name in found if name) or client
