"""Oracle for built and normalised mails: Python's email package reads what mail_tool writes.

Usage: mime_oracle.py MAIL_TOOL [CASES] [SEED]. Subject, names, addresses, both parts, dates and extra
fields must come back as they were meant, byte properties must hold, for a table of hard cases and for
random ones by seed. Prints TAP; a failure prints its seed.
"""
import base64
import email
import email.header
import email.policy
import email.utils
import json
import random
import subprocess
import sys

TOOL = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1

BLANKS = "\r\n\t\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ",
    "äöüßéèñçåøœ àâ–„“’… ABC abc",
    "Съешь же ещё этих мягких французских булок",
    "日本語の件名とテキスト、漢字かな交じり文",
    "👩‍👩‍👧😀🎉 abc",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ =?utf-8?Q?x?=",
    "\u0301\u200d\u05d0\u0627\u0e01\U0001f1e9\U0001f1ea\u3000x",
]


def words(rng, most, line_ends=False):
    alphabet = rng.choice(ALPHABETS)
    text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(most)))
    if line_ends:
        lines = []
        for _ in range(rng.randrange(1, 12)):
            line = "".join(rng.choice(alphabet) for _ in range(rng.choice([0, 1, 5, 74, 75, 76, 77, 200, 1200])))
            lines.append(rng.choice(["", ".", "..", "From ", " ", "--"]) + line + rng.choice(["", " ", "\t"]))
        text = "".join(line + rng.choice(["\n", "\r\n", "\r", "\n\n"]) for line in lines)
    return text


def random_case(rng):
    def box():
        name = words(rng, 60)
        address = rng.choice(["a@example.org", "first.last+tag@sub.example.org", "\"odd name\"@example.org"])
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return name, address, f'"{quoted}" <{address}>' if name else address

    case = {"expect": {}}
    for field in ("from", "to", "reply_to"):
        name, address, text = box()
        case[field] = text
        case["expect"][field] = (name, address)
    case["subject"] = words(rng, 200)
    case["message_id"] = f"{rng.randrange(1 << 60):x}@example.org"
    case["date_ms"] = rng.randrange(0, 4102444800000)
    case["seed"] = rng.randrange(1 << 62)
    kind = rng.randrange(3)
    if kind != 1:
        case["text"] = words(rng, 10, True)
    if kind != 0:
        case["html"] = "<p>" + words(rng, 10, True).replace("<", "&lt;") + "</p>"
    case["headers"] = [["X-Note", words(rng, 300)], ["X-Empty", ""]]
    if rng.randrange(2):
        case["list_unsubscribe"] = "https://example.org/u/" + "t" * rng.randrange(1, 300)
        case["one_click"] = True
    return case


HARD = [
    {"subject": "Grüße aus Köln", "text": ".\n..\n.x\n", "html": "<p>.</p>\n.\n"},
    {"subject": "x" * 900, "text": "y" * 5000 + "\n"},
    {"subject": "ü" * 500, "text": "ü" * 5000},
    {"subject": "a\r\nBcc: victim@example.org", "text": "a\rb\r\nc\n\rd"},
    {"subject": " ", "text": ""},
    {"subject": "=?utf-8?B?dGVzdA==?=", "text": "=3D = =\n=\n"},
    {"subject": "tabs\tand  blanks", "text": "trailing  \ntabs\t\n \n\t\n"},
    {"subject": "nul\x00nul", "text": "nul\x00nul"},
    {"subject": "From me", "text": "From me\n>From you\n"},
    {"subject": "boundary", "text": "--=_pf_000000000000000000000000\n", "html": "<p>--=_pf_</p>"},
]


def hard_case(extra):
    case = {"from": "Jörg \"J\" Müller <j@example.org>".replace('"J" ', ""), "to": "a@bücher.example",
            "message_id": "h@example.org", "date_ms": 1763761080000, "seed": 3,
            "expect": {"from": ("Jörg Müller", "j@example.org"), "to": ("", "a@xn--bcher-kva.example")}}
    case.update(extra)
    return case


def blanked(text):
    text = text.replace("\r\n", "\n")
    return "".join(" " if c in BLANKS or ord(c) < 32 or ord(c) in range(127, 160) else c for c in text).strip(" ")


def unified(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def content(part):
    return part.get_payload(decode=True).decode("utf-8").replace("\r\n", "\n")


def check_bytes(raw):
    assert raw.endswith(b"\r\n"), "does not end with CRLF"
    assert b"\r" not in raw.replace(b"\r\n", b"") and b"\n" not in raw.replace(b"\r\n", b""), "bare CR or LF"
    assert max(raw) < 128, "8 bit"
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998, "long line"
    # Fields that a program reads keep long words whole; all others fold at 78.
    field = b""
    for line in raw.split(b"\r\n\r\n")[0].split(b"\r\n"):
        field = field if line[:1] == b" " else line.split(b":")[0]
        assert len(line) <= 78 or field.startswith((b"List-Unsub", b"X-")), "long header line"


def decoded(message, field):
    """Unfolded, RFC 2047 words decoded; the modern policy would also normalise blanks."""
    value = message[field]
    value = value.replace("\r\n", "").replace("\n", "")
    return str(email.header.make_header(email.header.decode_header(value)))


def check(case, answer):
    assert answer["ok"], answer.get("error")
    assert not answer["is_8bit"] and not answer["needs_utf8"]
    raw = base64.b64decode(answer["raw"])
    check_bytes(raw)
    assert answer["has_leading_dot"] == (b"\r\n." in raw), "leading dot"
    old = email.message_from_bytes(raw, policy=email.policy.compat32)
    new = email.message_from_bytes(raw, policy=email.policy.default)
    assert not new.defects, new.defects
    assert decoded(old, "Subject").strip(" ") == blanked(case["subject"]), "subject"
    for field, header in (("from", "From"), ("to", "To"), ("reply_to", "Reply-To")):
        if field not in case["expect"]:
            continue
        name, address = case["expect"][field]
        found = new[header].addresses
        assert len(found) == 1, (header, found)
        assert (found[0].addr_spec == address), (found[0].addr_spec, address)
        # The structured parser of older Pythons puts blanks between the words of a long name.
        phrase = email.utils.parseaddr(old[header].replace("\r\n", ""))[0]
        shown = str(email.header.make_header(email.header.decode_header(phrase)))
        assert shown == blanked(name), (shown, name)
        if len(name.encode()) <= 45:
            assert " ".join(found[0].display_name.split()) == " ".join(blanked(name).split()), "one word"
    for name, value in case.get("headers", []):
        assert decoded(old, name).strip(" ") == blanked(value), name
    assert abs(new["Date"].datetime.timestamp() - case["date_ms"] // 1000) < 1, "date"
    assert new["Message-ID"] == f"<{case['message_id']}>"
    if "list_unsubscribe" in case:
        assert old["List-Unsubscribe"] == f"<{case['list_unsubscribe']}>"
        assert old["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    parts = old.get_payload() if old.is_multipart() else [old]
    types = [p.get_content_type() for p in parts]
    assert types == (["text/plain", "text/html"] if "html" in case else ["text/plain"]), types
    if "text" in case:
        assert content(parts[0]) == unified(case["text"]), "text"
    if "html" in case:
        assert content(parts[-1]) == unified(case["html"]), "html"


def check_normalised(case, built, answer):
    """A built mail is a fixed point; with other line ends it becomes itself again."""
    assert answer["ok"], answer.get("error")
    assert answer["raw"] == built["raw"], "normalising changed a built mail"


def run(verb, cases):
    lines = "".join(json.dumps(c) + "\n" for c in cases)
    out = subprocess.run([TOOL, verb], input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def main():
    cases = [hard_case(c) for c in HARD]
    cases += [random_case(random.Random(SEED * 1000003 + i)) for i in range(COUNT)]
    built = run("build", [{k: v for k, v in c.items() if k != "expect"} for c in cases])
    bare = [base64.b64encode(base64.b64decode(b["raw"]).replace(b"\r\n", [b"\n", b"\r"][i % 2])).decode()
            for i, b in enumerate(built)]
    again = run("normalise", [{"raw": raw} for raw in bare])
    failed = 0
    for i, case in enumerate(cases):
        try:
            check(case, built[i])
            check_normalised(case, built[i], again[i])
        except AssertionError as e:
            failed += 1
            if failed <= 10:
                print(f"# case {i} (seed {SEED}): {e}\n# {json.dumps(case)[:600]}")
    print(f"1..1\n{'not ok' if failed else 'ok'} 1 - {len(cases)} mails read by Python, {failed} differ")
    return 1 if failed else 0


sys.exit(main())
