"""How long it takes to go on with a session whose program was killed: from the start of the command to its end, with nothing new to record."""
import os, shutil, subprocess

from harness import Case
from recording import OURS


def cases(harness):
    # The default size of a file is 64 MiB.
    full = 60 << 20 if not harness.options.quick else 1 << 19
    pristine = os.path.join(harness.work, "killed")
    with open(harness.payloads("typical"), "rb") as file:
        lines = file.readlines()
    found = {}

    def kill():
        """A session whose program is killed when its file is full, and the file's size."""
        os.mkdir(pristine)
        program = subprocess.Popen([harness.command, *harness.record_arguments(pristine), "--ack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            found["session"] = program.stdout.readline().decode().strip()
            log = os.path.join(pristine, "storage", "sessions", found["session"] + ".log")
            found["bytes"] = 0
            while found["bytes"] < full:
                program.stdin.write(b"".join(lines))
                program.stdin.flush()
                for _ in lines:
                    program.stdout.readline()
                name, = (name for name in os.listdir(log) if name.endswith(".seg"))
                found["bytes"] = os.path.getsize(os.path.join(log, name))
        finally:
            program.kill()
            program.communicate()

    def measure(size):
        if not found:
            kill()
        with harness.directory() as path:
            if size == "full":
                path = shutil.copytree(pristine, os.path.join(path, "copy"))
                result = harness.timed([harness.command, "record", "--storage-dir", path, "--resume", found["session"], "--no-close"])
                result["log_bytes"] = found["bytes"]
            else:
                session = harness.record(path, os.devnull, "--no-close")
                result = harness.timed([harness.command, "record", "--storage-dir", path, "--resume", session, "--no-close"])
        return result

    yield Case("after a kill", "seconds", [(OURS + "record --resume, a full file", lambda: measure("full")),
                                           (OURS + "record --resume, a new session", lambda: measure("new"))])
