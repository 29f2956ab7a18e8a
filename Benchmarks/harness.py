"""What all groups of measurements use: cases and their subjects, programs, directories, payload files."""
import contextlib, importlib, json, os, shutil, socket, subprocess, sys, tempfile, time

import payloads
from machine import first_line
from payloads import URN

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "..", ".build-benchmarks")
LINES = 256  # different actions in a payload file; as many as `ckprov-log bench` makes by itself

# What a peer is linked with, and the Debian package that has it.
LIBRARIES = {"sqlite": ("sqlite3", "libsqlite3-dev"), "leveldb": ("leveldb", "libleveldb-dev"), "rocksdb": ("rocksdb", "librocksdb-dev"),
             "lmdb": ("lmdb", "liblmdb-dev"), "simdjson": ("simdjson", "libsimdjson-dev")}


class Skipped(Exception):
    """Why something is not measured here."""


class Case:
    """Subjects that do the same; the first is what the others are compared with.

    A subject is a function without arguments that returns a dictionary of numbers, in which `metric` is the one that is compared.
    """

    def __init__(self, name, metric, subjects):
        self.name, self.metric, self.subjects = name, metric, subjects
        self.is_rate = metric.endswith("_per_second")  # more is better


def need_module(name):
    try:
        importlib.import_module(name)
    except ImportError:
        package = "conceptkernel==1.3.0 pyyaml" if name == "cklib.prov" else name
        raise Skipped("no Python module %s (pip install %s)" % (name, package)) from None


def need_program(name, package=None):
    if not shutil.which(name):
        raise Skipped("no %s (apt-get install %s)" % (name, package or name))


class Harness:
    def __init__(self, options):
        self.options = options
        self.command = os.path.abspath(options.command)
        self.work = tempfile.mkdtemp(prefix="ckprov-benchmarks-", dir=options.directory)
        self.reasons = {}

    def end(self):
        shutil.rmtree(self.work)

    @contextlib.contextmanager
    def directory(self, given=None):
        """An empty one, which is removed again; nothing that others have left is still to be written when it is handed out. Or the given one."""
        path = given or tempfile.mkdtemp(dir=self.work)
        if not self.options.quick:
            os.sync()
        try:
            yield path
        finally:
            if not given:
                shutil.rmtree(path)

    def payloads(self, size, least_bytes=0):
        """A file of JSON Lines; the same lines again until there are `least_bytes`."""
        path = os.path.join(self.work, "%s-%d.jsonl" % (size, least_bytes))
        if not os.path.exists(path):
            lines = b"".join(line + b"\n" for line in payloads.lines(payloads.SIZES[size], LINES, self.options.seed))
            with open(path, "wb") as file:
                file.write(lines * max(1, -(-least_bytes // len(lines))))
        return path

    # Programs

    def run(self, arguments, **named):
        """What it prints; if it fails, that is the error."""
        result = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600 + 10 * self.options.seconds, **named)
        if result.returncode != 0:
            raise RuntimeError("%s ended with %d: %s" % (" ".join(arguments[:2]), result.returncode, result.stderr.decode(errors="replace").strip()[-500:]))
        return result.stdout

    def json(self, arguments, **named):
        return json.loads(self.run(arguments, **named))

    def timed(self, arguments, stdin=None):
        """Seconds, seconds of the CPUs and greatest resident set of a program whose output goes to /dev/null."""
        result = os.path.join(self.work, "timed")
        with open(stdin or os.devnull, "rb") as given:
            program = subprocess.run([self.compiled("timed"), result, *arguments], stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if program.returncode != 0:
            raise RuntimeError("%s ended with %d: %s" % (arguments[0], program.returncode, program.stderr.decode(errors="replace").strip()[-500:]))
        with open(result) as file:
            return json.load(file)

    def compiled(self, name):
        """The program made of a file in peers/."""
        if name in self.reasons:
            raise Skipped(self.reasons[name])
        source, program = self.source(name), os.path.join(BUILD, name)
        sources = [source, os.path.join(HERE, "peers", "peer.h")]
        if not os.path.exists(program) or os.path.getmtime(program) < max(map(os.path.getmtime, sources)):
            os.makedirs(BUILD, exist_ok=True)
            library, package = LIBRARIES.get(name, (None, None))
            compiler = "c++" if source.endswith(".cpp") else "cc"
            arguments = [compiler, "-O2", "-Wall", "-Wextra", "-o", program, source, "-lpthread"] + (["-l" + library] if library else [])
            if name == "rocksdb":  # its own header with the version is C++
                arguments.append('-DROCKSDB_VERSION="%s"' % first_line("pkg-config", "--modversion", name))
            need_program(compiler, "gcc g++")
            result = subprocess.run(arguments, capture_output=True, text=True)
            if result.returncode != 0:
                problem = next((line for line in result.stderr.split("\n") if "error" in line), result.stderr.split("\n")[0])
                self.reasons[name] = problem + (" (apt-get install %s)" % package if package else "")
                raise Skipped(self.reasons[name])
        return program

    @staticmethod
    def source(name):
        return os.path.join(HERE, "peers", name + (".cpp" if name == "simdjson" else ".c"))

    def peer(self, name, wrapper=(), directory=None, **options):
        """Runs a peer of those that record; `wrapper` are words before its command. What it wrote stays if a directory is given."""
        if name in ("json", "orjson", "cklib"):
            need_module("cklib.prov" if name == "cklib" else name)
            program = [sys.executable, os.path.join(HERE, "peers", "recorders.py"), name]
        else:
            program = [self.compiled(name)]
        with self.directory(directory) as path:
            environment = contextlib.nullcontext(os.environ)
            if name == "nats":
                environment = nats_server(path, options["durability"])
            with environment as variables:
                arguments = [word for key, value in options.items() for word in ("--" + key, str(value))]
                return self.json([*wrapper, *program, "--directory", path, *arguments], env=variables)

    def bench(self, wrapper=(), directory=None, **options):
        """`ckprov-log bench`, and whether all that it says it recorded is there. What it wrote stays if a directory is given."""
        arguments = [word for key, value in options.items() for word in ("--" + key.replace("_", "-"), str(value))]
        with self.directory(directory) as path:
            result = self.json([*wrapper, self.command, "bench", "--storage-dir", path, *arguments, "--json", "--keep"])
            kept, = [entry.path for entry in os.scandir(path) if entry.name.startswith("ckprov-bench-")]
            found = self.json([self.command, "stats", "--storage-dir", kept, "--json"])["actions"]
        if found != result["actions"]:
            raise RuntimeError("bench says it recorded %d actions, %d are there" % (result["actions"], found))
        return result

    def record(self, directory, lines, *more):
        """Records a file of JSON Lines through the pipe. The session's id."""
        with open(lines, "rb") as file:
            return self.run([self.command, *self.record_arguments(directory), *more], stdin=file).decode().split()[0]

    @staticmethod
    def record_arguments(directory):
        return ["record", "--storage-dir", directory, "--label", "bench", "--kernel-urn", URN, "--view", "never"]


@contextlib.contextmanager
def nats_server(directory, durability):
    """One of our own on loopback. The environment for its client."""
    need_program("nats-server")
    version = first_line("nats-server", "--version").split()[-1].lstrip("v")
    if durability == "power" and [int(one) for one in version.split(".")[:2]] < [2, 10]:
        raise Skipped("nats-server %s cannot sync before it acknowledges; 2.10 can" % version)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = os.path.join(directory, "jetstream")
    with open(os.path.join(directory, "nats.conf"), "w") as file:
        sync = "sync_interval: always, " if durability == "power" else ""
        file.write('listen: "127.0.0.1:%d"\njetstream { %sstore_dir: "%s", max_file_store: 64G }\n' % (port, sync, store))
    log = os.path.join(directory, "nats.log")
    # `timeout` ends it even if this program cannot.
    server = subprocess.Popen(["timeout", "--kill-after", "5", "900", "nats-server", "-c", file.name, "-l", log])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        else:
            raise RuntimeError("nats-server does not answer: " + open(log).read()[-500:])
        yield dict(os.environ, NATS_PORT=str(port))
    finally:
        server.terminate()
        server.wait()
