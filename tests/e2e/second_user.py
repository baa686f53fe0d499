"""A second user gets nothing from a worker, even where the directory lets him reach its socket."""

import json
import os
import signal
import socket
import subprocess

import harness
import person

ATTEMPTS = 1000


def as_stranger(work):
    """Runs work() in a child that has become another user; returns what it returns, through JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(person.UID, person.UID, person.UID)
            os.setresuid(person.UID, person.UID, person.UID)
            os.write(writer, json.dumps(work()).encode())
        except BaseException as problem:  # pylint: disable=broad-except  # this process must end here
            os.write(writer, json.dumps(repr(problem)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return json.loads(data)


class Refused(harness.Case):
    def setUp(self):
        super().setUp()
        person.need_root(self)

    def open_up(self):
        """By force, as no step1x does."""
        self.dir.chmod(0o755)
        self.runtime.chmod(0o711)
        (self.runtime / "worker.sock").chmod(0o777)

    def attempts(self, number, request=None):
        """How many connections were made, and how many bytes came back over all of them."""
        path = str(self.runtime / "worker.sock")

        def work():
            made = answered = 0
            for _ in range(number):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(harness.HANG)
                    client.connect(path)
                    made += 1
                    try:
                        client.sendall(harness.frame({"op": "hello", "magic": "step1x", "protocol": 1, "version": "0", "build": "0", "pid": 1}))
                        if request:
                            client.sendall(harness.frame(request))
                        answered += len(client.recv(65536))
                    except ConnectionError:
                        pass
            return [made, answered]

        return as_stranger(work)

    def test_a_thousand_times_while_its_own_user_is_served(self):
        pid = int(self.run_step1x("worker", "start", check=0).stdout)
        with self.connect() as mine:
            self.open_up()
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            mine.edit(fake="step=50ms")
            self.assertEqual(self.attempts(ATTEMPTS), [ATTEMPTS, 0])
            self.assertEqual(mine.until("done", "error")["event"], "done")
            harness.eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= descriptors + 4, what="no descriptor is left of them")
        self.runtime.chmod(0o700)
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        self.assertEqual(self.worker_pids(), [pid])
        self.assertIn(f"refused a connection of user {person.UID}", (self.runtime / "worker.log").read_text())

    def test_no_request_of_his_is_carried_out(self):
        pid = int(self.run_step1x("worker", "start", check=0).stdout)
        self.open_up()
        self.assertEqual(self.attempts(1, {"op": "shutdown", "mode": "force"}), [1, 0])
        self.runtime.chmod(0o700)
        self.run_step1x("gpu", "status", check=0)
        self.assertEqual(self.worker_pids(), [pid])

    def test_as_it_is_made_he_cannot_even_connect(self):
        self.run_step1x("worker", "start", check=0)
        self.dir.chmod(0o755)
        self.assertIn("PermissionError", self.attempts(1))
        # Nor if the directory alone is opened.
        self.runtime.chmod(0o711)
        self.assertIn("PermissionError", self.attempts(1))
        self.runtime.chmod(0o700)

    def test_his_own_client_does_not_use_a_directory_that_is_not_his(self):
        pid = int(self.run_step1x("worker", "start", check=0).stdout)
        self.open_up()
        for command in (["worker", "start"], ["gpu", "status"], ["worker", "stop", "--force"]):
            done = subprocess.run(person.stranger(self, harness.STEP1X, *command), env=self.env(), capture_output=True, text=True, timeout=harness.HANG, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Astep1x: [^\n]*(belongs to user 0|Permission denied)[^\n]*\n\Z")
        self.assertEqual(self.worker_pids(), [pid])

    def test_a_worker_of_his_in_our_directory_gets_no_picture_of_ours(self):
        """He once had the directory, and left a listener in it."""
        self.dir.chmod(0o755)
        self.runtime.chmod(0o777)
        path = str(self.runtime / "worker.sock")
        listener = socket.socket(socket.AF_UNIX)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setresuid(person.UID, person.UID, person.UID)
            listener.bind(path)
            listener.listen(16)
            os.write(writer, b"x")
            os.close(writer)
            received = [listener.accept()[0].recv(1) for _ in range(2)]
            os._exit(int(received != [b"", b""]))
        listener.close()
        ended = []
        self.addCleanup(lambda: ended or (os.kill(child, signal.SIGKILL), os.waitpid(child, 0)))
        os.read(reader, 1)
        os.close(reader)
        os.close(writer)
        self.runtime.chmod(0o700)
        for command in (["worker", "start"], self.edit_arguments(self.dir / "a.png")):
            done = self.run_step1x(*command, check=1)
            self.assertRegex(done.stderr, rf"\Astep1x: [^\n]*process {child} there belongs to user {person.UID}\n\Z")
        self.assertEqual(self.worker_pids(), [])
        ended.append(os.waitpid(child, 0)[1])
        self.assertEqual(ended, [0], "something was sent to him")


if __name__ == "__main__":
    harness.main()
