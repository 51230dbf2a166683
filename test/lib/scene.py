"""A witness and a daemon in a folder of their own, and the judgement at the end of a scenario."""
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import daemon  # noqa: E402
import tap  # noqa: E402
import witness  # noqa: E402
from witness import ledger  # noqa: E402


class Scene:
    """with Scene({"a": {}}) as s: s.daemon, s.witness. The folder stays when a check failed."""

    def __init__(self, servers, start=True, env=None, prefix=(), options=()):
        self.folder = tempfile.mkdtemp(prefix="postfleet-")
        self.failures_before = tap.failures
        self.witness = witness.Witness(self.folder, servers) if servers else None
        self.daemon = daemon.Daemon(self.folder, env=env, prefix=prefix)
        self.start_options = options
        try:
            if start:
                self.daemon.start(*options)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def add_servers(self, *options, group=None, only=None):
        """Adds every server of the witness (or those named) to the daemon."""
        for name, port in self.witness.ports.items():
            if only is None or name in only:
                self.daemon.add_server(name, port, *options, group=group)

    def judge(self, campaign, people, what, whole=ledger.marked_whole, uncertain_max=None):
        """Compares witness, rows and report; one TAP line for the ledger, one for the bound."""
        rows, report = self.daemon.messages(campaign), self.daemon.report(campaign)
        found = ledger.check(self.witness.log, rows, people, report, whole)
        tap.ok(not found.faults(), f"{what}: nothing lost, doubled, phantom, cut or misreported",
               found)
        if uncertain_max is not None:
            tap.ok(len(found.uncertain) <= uncertain_max,
                   f"{what}: {len(found.uncertain)} uncertain, at most {uncertain_max}", found)
        return found, report

    def cancel_and_judge(self, campaign, people, what, uncertain_max):
        """Cancels what is left of a campaign and judges what was begun of it; people: those of this
        campaign. Gives back the report."""
        self.daemon.cli("campaign", "cancel", campaign, "--yes")

        before = {}

        def is_over():
            """Nothing pending, nothing on the wire (a cancelled message whose dot has left counts as
            cancelled until its reply is there), and no figure moves any more."""
            nonlocal before
            report, last = self.daemon.report(campaign), before
            before = {k: report[k] for k in ("pending", "deferred", "sent", "cancelled", "uncertain")}
            on_wire = sum(s["in_flight"] for s in self.daemon.lines("server", "list"))
            still = before == last and on_wire == 0
            return report if still and not report["pending"] + report["deferred"] else None
        report = daemon.wait_for(is_over, 60, "every message to have its end", every=0.5)
        mine = set(people)
        dots = [d for d in self.witness.events("dot") if set(d["rcpt"]) <= mine]
        rows = self.daemon.messages(campaign)
        begun = {r["to"] for r in rows} | {to for d in dots for to in d["rcpt"]}
        found = ledger.judge(dots, rows, begun)
        tap.ok(not found.faults(), f"{what}: nothing lost, doubled, phantom or misreported", found)
        tap.ok(len(found.uncertain) <= uncertain_max,
               f"{what}: {len(found.uncertain)} uncertain, at most {uncertain_max}", found)
        return report

    def check_ledger(self, what):
        """The daemon's own check of its books; the daemon must be stopped."""
        done = self.daemon.run("db", "check", "--ledger")
        tap.ok(done.returncode == 0, f"{what}: db check --ledger", done.stdout + done.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.daemon.__exit__()
        if self.witness:
            self.witness.stop()
        words = self.daemon.sanitizer_words()
        if words:
            tap.ok(False, "no sanitizer report", "\n".join(words))
        if error[0] is None and tap.failures == self.failures_before:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            tap.note(f"kept: {self.folder}")
