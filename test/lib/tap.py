"""Prints TAP. A script makes checks through ok(), leaves out what cannot run here by skip(), and
ends with done(). case() runs a function and turns an exception into a failing line."""
import sys
import traceback

number = failures = 0


def ok(good, what, detail=""):
    """One TAP line; the detail is shown only when it fails. Gives back whether it was good."""
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {what}", flush=True)
    if not good and detail != "":
        note(detail)
    return bool(good)


def equal(got, want, what):
    return ok(got == want, what, f"got {got!r}, wanted {want!r}")


def skip(what, why):
    global number
    number += 1
    print(f"ok {number} - {what} # SKIP {why}", flush=True)


def note(text):
    for line in str(text).splitlines()[:60]:
        print(f"# {line}", flush=True)


def case(function, *arguments):
    """Runs one case; an exception is a failing line with its traceback."""
    try:
        function(*arguments)
    except Exception:  # whatever went wrong is this case's failure, and the next one still runs
        ok(False, f"{function.__name__}{arguments if arguments else ''} ran to its end",
           traceback.format_exc())


def done():
    print(f"1..{number}", flush=True)
    sys.exit(1 if failures else 0)
