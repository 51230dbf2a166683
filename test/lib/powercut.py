"""What a disk may hold after a power cut, made from the log of test/shim/record_writes.c.

A Disk takes the events in order. What was synced stays: bytes by a sync of their file that ended,
begun after they were written; names by such a sync of their folder. What was not may be kept,
dropped, cut off at some point, or kept in any choice of writes and 512-byte sectors: write_state()
chooses with a random generator that is given, and writes the files into an empty folder. Names are
lost in the reverse of their order, folder by folder, as journaling file systems do."""
import os
import struct

CREATE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, LINK = range(1, 10)
HEAD = struct.Struct("<IBBHQQQQII")
SECTOR, BLOCK = 512, 4096
FOLDER = object()


class Event:
    """One record; `number` is its place in the log, `s` its time in seconds (monotonic)."""
    __slots__ = ("number", "kind", "path", "to", "ino", "at", "size", "s", "data", "pid")


def read_log(path):
    """All events of a log."""
    events = []
    with open(path, "rb") as f:
        raw = memoryview(f.read())
    place = 0
    while place < len(raw):
        magic, kind, is_zero, n, ino, at, size, ns, payload, pid = HEAD.unpack_from(raw, place)
        if magic != 0x31524350:
            raise ValueError(f"no record at {place} of {path}")
        place += HEAD.size
        e = Event()
        e.number, e.kind, e.ino, e.at, e.size, e.s, e.pid = (len(events), kind, ino, at, size,
                                                             ns / 1e9, pid)
        e.path, _, e.to = os.fsdecode(bytes(raw[place:place + n])).partition("\0")
        e.data = None if is_zero else raw[place + n:place + n + payload]
        place += n + payload
        events.append(e)
    return events


class Content:
    """Bytes of a file; zeros at its end are counted, not held."""

    def __init__(self, other=None):
        self.data = bytearray(other.data) if other else bytearray()
        self.size = other.size if other else 0

    def write(self, at, n, data):
        """data None: n zeros."""
        if data is not None or at < len(self.data):
            end = at + n
            if len(self.data) < end:
                self.data.extend(bytes(end - len(self.data)))
            self.data[at:end] = data if data is not None else bytes(n)
        self.size = max(self.size, at + n)

    def truncate(self, size):
        del self.data[size:]
        self.size = size

    def apply(self, e):
        if e.kind == WRITE:
            self.write(e.at, e.size, e.data)
        else:
            self.truncate(e.size)

    def apply_torn(self, e, kept):
        """Only the sectors for which kept(sector) holds."""
        end = e.at + e.size
        for start in range(e.at - e.at % SECTOR, end, SECTOR):
            low, high = max(start, e.at), min(start + SECTOR, end)
            if kept(start // SECTOR):
                self.write(low, high - low,
                           None if e.data is None else e.data[low - e.at:high - e.at])

    def whole(self):
        return bytes(self.data) + bytes(self.size - len(self.data))


class File:
    def __init__(self):
        self.durable, self.waiting = Content(), []

    def sync(self, begun):
        for e in self.waiting:
            if e.number < begun:
                self.durable.apply(e)
        self.waiting = [e for e in self.waiting if e.number >= begun]

    def choose(self, rng, how):
        """What is found of it. how: kept, dropped, cut (a first part, its last write torn), mixed."""
        found = Content(self.durable)
        if how == "dropped" or not self.waiting:
            return found
        cut = rng.randrange(len(self.waiting)) if how == "cut" else len(self.waiting)
        for i, e in enumerate(self.waiting):
            fate = "kept"
            if how == "cut" and i >= cut:
                fate = "torn" if i == cut else "lost"
            elif how == "mixed":
                fate = rng.choice(("kept", "lost", "torn"))
            if fate == "kept":
                found.apply(e)
            elif fate == "torn" and e.kind == WRITE:
                salt, part = rng.getrandbits(32), rng.choice((2, 3, 8))
                found.apply_torn(e, lambda sector: hash((salt, sector)) % part)
        return found


class Folder:
    """Names in a folder: those that are durable, and what was done since."""

    def __init__(self):
        self.durable, self.waiting = {}, []

    def sync(self, begun):
        for number, steps in self.waiting:
            if number < begun:
                self.do(self.durable, steps)
        self.waiting = [w for w in self.waiting if w[0] >= begun]

    @staticmethod
    def do(names, steps):
        for name, thing in steps:
            if thing is None:
                names.pop(name, None)
            else:
                names[name] = thing

    def choose(self, rng, how):
        names = dict(self.durable)
        n = {"kept": len(self.waiting), "dropped": 0}.get(how)
        if n is None:
            n = rng.randint(0, len(self.waiting))
        for _, steps in self.waiting[:n]:
            self.do(names, steps)
        return names


class Disk:
    def __init__(self, root):
        self.root, self.files, self.begun = root, {}, {}
        self.folders, self.now = {root: Folder()}, {}
        self.pages = []  # (event, highest synced sequence of the journal, epoch)
        self.block = (0, 0)

    def take(self, e):
        getattr(self, "on_" + {CREATE: "create", WRITE: "change", TRUNCATE: "change",
                               SYNC_BEGIN: "begin", SYNC_END: "end", RENAME: "rename",
                               UNLINK: "unlink", MKDIR: "mkdir", LINK: "link"}[e.kind])(e)

    def on_create(self, e):
        self.files[e.ino] = self.now[e.path] = File()
        self.name(e, (e.path, self.files[e.ino]))

    def on_mkdir(self, e):
        self.folders[e.path] = Folder()
        if e.path != self.root:
            self.name(e, (e.path, FOLDER))

    def on_unlink(self, e):
        self.now.pop(e.path, None)
        self.name(e, (e.path, None))

    def on_rename(self, e):
        thing = self.now.pop(e.path)
        self.now[e.to] = thing
        self.name(e, (e.path, None), (e.to, thing))

    def on_link(self, e):
        self.now[e.to] = self.now[e.path]
        self.name(e, (e.to, self.now[e.to]))

    def name(self, e, *steps):
        folder = os.path.dirname(e.path)
        self.folders[folder].waiting.append(
            (e.number, [(os.path.basename(path), thing) for path, thing in steps]))

    def on_change(self, e):
        self.files[e.ino].waiting.append(e)

    def on_begin(self, e):
        self.begun[e.pid, e.at] = e.number

    def on_end(self, e):
        begun = self.begun.pop((e.pid, e.at))
        if e.path in self.folders:
            self.folders[e.path].sync(begun)
            return
        file = self.files[e.ino]
        if e.path.endswith(".journal"):
            self.note_page(e, [w for w in file.waiting if w.number < begun])
        file.sync(begun)

    def note_page(self, e, writes):
        """The daemon notes in the mapped page `synced` what this sync made durable."""
        for w in writes:
            if w.kind == WRITE and w.data is not None and w.size == BLOCK:
                self.block = struct.unpack_from("<QQ", w.data, 8)
                self.pages.append((e.number, *self.block))

    # -- states -----------------------------------------------------------------------------
    def write_state(self, out, rng):
        """Writes what a cut now may leave into the folder `out`; a text that says what was chosen."""
        how = rng.choice(("kept", "dropped", "cut", "cut", "mixed", "mixed", "each", "each"))
        said = [how]
        self.write_folder(self.root, out, rng, how, said)
        return " ".join(said)

    def write_folder(self, path, out, rng, how, said):
        os.makedirs(out, exist_ok=True)
        folder = self.folders[path]
        mine = pick(rng, how)
        if folder.waiting:
            said.append(f"{os.path.basename(path)}/:{mine}")
        for name, thing in sorted(folder.choose(rng, mine).items()):
            if thing is FOLDER:
                self.write_folder(os.path.join(path, name), os.path.join(out, name), rng, how, said)
                continue
            mine = pick(rng, how)
            if thing.waiting:
                said.append(f"{name}:{mine}")
            write_file(os.path.join(out, name), thing.choose(rng, mine))
        if path == os.path.join(self.root, "journal"):
            said.append("synced:" + self.write_page(os.path.join(out, "synced"), rng))

    def write_page(self, out, rng):
        """The mapped page is never synced: the kernel wrote it back at some time, or never."""
        how = rng.choice(("missing", "zero", "stale", "last", "last"))
        if how == "missing":
            return how
        page = (0, 0)
        if self.pages and how != "zero":
            page = (self.pages[-1] if how == "last" else rng.choice(self.pages))[1:]
        content = Content()
        content.write(0, 16, struct.pack("<QQ", *page))
        content.size = BLOCK
        write_file(out, content)
        return f"{how}{page}"

    def differences(self, real):
        """Where this disk, with all kept, differs from a real folder: what the recorder missed."""
        for path, folder in self.folders.items():
            for name, thing in folder.choose(None, "kept").items():
                if thing is FOLDER:
                    continue
                where = os.path.join(real, os.path.relpath(os.path.join(path, name), self.root))
                if not os.path.exists(where):
                    yield f"{where} is missing"
                else:
                    with open(where, "rb") as f:
                        if f.read() != thing.choose(None, "kept").whole():
                            yield f"{where} differs"


def pick(rng, how):
    return rng.choice(("kept", "dropped", "cut", "mixed")) if how == "each" else how


def write_file(path, content):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, content.data)
    os.ftruncate(fd, content.size)
    os.close(fd)
