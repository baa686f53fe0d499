"""step1x serve: the endpoints, who may come in, and what a stranger on the other side can do."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import harness

KEYS = ["model_location", "idle_time", "gpu_memory_allocated_gb", "gpu_memory_reserved_gb", "statistics"]
TOKEN = "0123456789abcdef0123456789abcdef"


class OverUnix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=harness.HANG)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Case(harness.Case):
    def serve(self, *arguments, env=None, **kwargs):
        """Starts it; self.port is where it listens."""
        arguments = arguments or ("--listen", "127.0.0.1:0")
        process = self.start_step1x("serve", *arguments, env=env, **kwargs)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        line = process.stderr.readline()
        self.assertIn("step1x: serving at ", line)
        found = re.search(r":(\d+)$", line)
        self.port = int(found.group(1)) if found else None
        return process

    def ask(self, method, path, body=None, headers=None, connection=None):
        """The status, the headers and the body: an object where it is JSON."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.HANG)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
        is_json = answer.headers.get("Content-Type") == "application/json" and text
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def raw(self, data):
        """A connection that has sent this."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=harness.HANG)
        self.addCleanup(connection.close)
        connection.sendall(data)
        return connection

    def answer_to(self, data):
        """What is answered until the other side ends the connection."""
        connection = self.raw(data)
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts).decode()

    def busy(self):
        """A job is computed, which would take a minute."""
        edit = self.start_step1x(*self.edit_arguments(self.dir / "out.png", fake="step=100ms", steps=600))
        self.addCleanup(edit.communicate)
        self.addCleanup(edit.kill)
        harness.eventually(lambda: self.status()["queue"]["running"] == 1, what="a job runs")
        return edit


class Endpoints(Case):
    def test_the_status_is_that_of_the_command_and_starts_nothing(self):
        self.serve()
        status, headers, body = self.ask("GET", "/api/gpu/status")
        self.assertEqual((status, headers["Content-Type"], headers["Cache-Control"]), (200, "application/json", "no-store"))
        self.assertEqual(list(body)[:5], KEYS)
        self.assertEqual(list(body["statistics"]), sorted(["total_loads", "gpu_to_cpu", "cpu_to_gpu", "full_releases"]))
        self.assertEqual(body, self.status())
        self.assertEqual((self.worker_pids(), body["worker"]), ([], None))
        self.run_step1x(*self.edit_arguments(self.dir / "out.png"), check=0)
        _, _, body = self.ask("GET", "/api/gpu/status")
        self.assertEqual([body["worker"]["pid"]], self.worker_pids())
        self.assertEqual(body["statistics"]["total_loads"], 1)

    def test_offload_and_release_move_the_model_and_tell_where_it_is(self):
        self.serve()
        for path in ("/api/gpu/offload", "/api/gpu/release"):
            self.assertEqual(self.ask("POST", path)[0], 200, "no worker: nothing to do")
        self.run_step1x(*self.edit_arguments(self.dir / "out.png"), check=0, env=self.env(STEP1X_OFFLOAD_DELAY="1h"))
        self.assertEqual(self.status()["model_location"], "GPU")
        self.assertEqual(self.ask("POST", "/api/gpu/offload")[2]["model_location"], "CPU")
        self.assertEqual(self.ask("POST", "/api/gpu/release")[2]["model_location"], "Unloaded")

    def test_while_a_job_runs_they_are_refused_or_wait_or_cancel_it(self):
        self.serve()
        edit = self.busy()
        status, _, body = self.ask("POST", "/api/gpu/offload")
        self.assertEqual((status, body["error"]["code"], body["error"]["position"]), (409, "busy", 1))
        waiting = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.HANG)
        self.addCleanup(waiting.close)
        waiting.request("POST", "/api/gpu/offload?mode=wait")
        # Meanwhile others are served, and nothing of the job is lost.
        for _ in range(10):
            self.assertEqual(self.ask("GET", "/api/gpu/status")[2]["queue"]["running"], 1)
        self.assertIsNone(edit.poll())
        self.assertEqual(self.ask("POST", "/api/gpu/release?mode=force")[0], 200)
        edit.communicate(timeout=harness.HANG)
        self.assertNotEqual(edit.returncode, 0)
        self.assertEqual(waiting.getresponse().status, 200)

    def test_health_asks_no_worker_and_metrics_are_numbers(self):
        self.serve()
        self.run_step1x("worker", "start", check=0)
        [worker] = self.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        self.assertEqual(self.ask("GET", "/healthz")[::2], (200, "ok\n"))
        os.kill(worker, signal.SIGCONT)
        status, headers, text = self.ask("GET", "/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        for line in text.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) step1x_\w+ .+|step1x_\w+(\{\w+=\"[^\"]*\"\})? [-\d.e+]+)$")
        self.assertIn("\nstep1x_worker_up 1\n", text)

    def test_what_is_not_there_is_said(self):
        self.serve()
        self.assertEqual(self.ask("GET", "/nothing")[::2][0], 404)
        status, headers, body = self.ask("GET", "/api/gpu/offload")
        self.assertEqual((status, headers["Allow"], body["error"]["code"]), (405, "POST", "wrong_method"))
        self.assertEqual(self.ask("POST", "/api/gpu/status")[1]["Allow"], "GET, HEAD")
        for target, word in (("/api/gpu/offload?mode=soon", "soon"), ("/api/gpu/offload?mod=wait", "'mod'"), ("/api/gpu/status?x=1", "'x'")):
            status, _, body = self.ask("POST" if "offload" in target else "GET", target)
            self.assertEqual(status, 400, target)
            self.assertIn(word, body["error"]["message"])
        status, headers, body = self.ask("HEAD", "/healthz")
        self.assertEqual((status, headers["Content-Length"], body), (200, "3", ""))

    def test_a_connection_is_used_again(self):
        self.serve()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.HANG)
        with contextlib.closing(connection):
            for _ in range(3):
                connection.request("GET", "/healthz")
                self.assertEqual(connection.getresponse().read(), b"ok\n")
            port = connection.sock.getsockname()[1]
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.assertEqual(connection.sock.getsockname()[1], port)


class Strangers(Case):
    HEAD = "POST /api/gpu/release?mode=force HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n{more}\r\n"

    def test_they_are_refused_before_a_byte_of_the_body_is_read(self):
        self.serve(env=self.env(STEP1X_TOKEN=TOKEN))
        edit = self.busy()
        own = f"127.0.0.1:{self.port}"
        bearer = f"Authorization: Bearer {TOKEN}\r\n"
        for code, host, more in ((421, "evil.example", bearer), (403, own, bearer + "Origin: http://evil.example\r\n"), (403, own, bearer + "Origin: null\r\n"),
                                 (403, own, bearer + "Sec-Fetch-Site: cross-site\r\n"), (401, own, ""), (401, own, "Authorization: Bearer wrong\r\n"),
                                 (400, own, bearer + "Host: localhost\r\n"), (413, own, bearer)):
            answer = self.answer_to(self.HEAD.format(host=host, more=more).encode())
            self.assertTrue(answer.startswith(f"HTTP/1.1 {code} "), f"{code}: {answer}")
            self.assertIn("Connection: close", answer)
            self.assertNotIn(TOKEN, answer)
        self.assertIsNone(edit.poll())
        self.assertEqual(self.ask("GET", "/healthz")[0], 200, "without a token")
        self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Authorization": f"Bearer {TOKEN}"})[0], 200)

    def test_no_page_of_another_site_learns_anything(self):
        self.serve()
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            status, answered, body = self.ask("GET", "/api/gpu/status", headers=headers)
            self.assertEqual((status, list(body)), (403, ["error"]))
            self.assertFalse([name for name in answered if name.startswith("Access-Control")])
        self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Origin": f"http://localhost:{self.port}"})[0], 200)

    def test_names_and_sites_that_are_allowed(self):
        self.serve("--listen", "127.0.0.1:0", "--allowed-host", "Images.example.org", "--allowed-host", "other", "--allowed-origin", "https://app.example.org")
        for host in ("images.example.org", "other:443"):
            self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Host": host})[0], 200)
        self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Host": "third"})[0], 421)
        self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Origin": "https://app.example.org"})[0], 200)

    def test_what_is_too_long_or_no_http_is_told(self):
        self.serve()
        head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        for code, data in ((431, head + "X: " + "x" * 20000 + "\r\n\r\n"), (400, "nonsense\r\n\r\n"), (400, "GET /healthz HTTP/9.9\r\n\r\n"),
                           (400, "GET /healthz HTTP/1.1\r\n\r\n"), (400, "\x16\x03\x01\x02\x00\x01\r\n\r\n"), (413, head + "Content-Length: 70000\r\n\r\n" + "x" * 70000),
                           (413, head + "Transfer-Encoding: chunked\r\n\r\n" + "fffff\r\n" + "x" * 0xfffff)):
            answer = self.answer_to(data.encode("latin-1"))
            self.assertTrue(answer.startswith(f"HTTP/1.1 {code} "), f"{code}: {answer[:200]!r}")
            json.loads(answer.partition("\r\n\r\n")[2])
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)

    def test_who_asks_first_is_told_to_go_on(self):
        self.serve()
        connection = self.raw(f"POST /api/gpu/offload HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
        self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 100 "))
        connection.sendall(b"{}")
        self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_many_slow_senders_keep_nobody_waiting(self):
        process = self.serve()
        slow = [self.raw(b"G") for _ in range(200)]
        for _ in range(3):
            for connection in slow:
                connection.sendall(b"E")
            self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        before = len(os.listdir(f"/proc/{process.pid}/fd"))
        self.assertGreater(before, 200)
        for connection in slow:
            connection.close()
        harness.eventually(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) <= before - 200, what="their descriptors are given back")

    def test_more_than_there_are_places_for_wait_until_one_is_free(self):
        self.serve()
        held = [self.raw(b"") for _ in range(256)]
        waiting = self.raw(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode())
        held.pop().close()
        self.assertTrue(waiting.recv(100).startswith(b"HTTP/1.1 200 "))


class Places(Case):
    def test_a_unix_socket_is_its_owners_and_goes_with_the_server(self):
        path = self.dir / "door"
        process = self.serve("--listen", f"unix:{path}", preexec_fn=lambda: os.umask(0))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(self.ask("GET", "/healthz", connection=OverUnix(path))[0], 200)
        second = self.run_step1x("serve", "--listen", f"unix:{path}", check=2)
        self.assertIn("another server has it", second.stderr)
        process.kill()
        process.wait()
        self.assertTrue(path.exists())
        process = self.serve("--listen", f"unix:{path}")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=harness.HANG), 0)
        self.assertFalse(path.exists())

    def test_what_cannot_be_had_is_said_at_once(self):
        self.serve()
        (self.dir / "file").write_text("mine")
        (self.dir / "open").write_text(TOKEN)
        (self.dir / "open").chmod(0o644)
        (self.dir / "short").write_text("secret")
        (self.dir / "short").chmod(0o600)
        for arguments, words in ((("--listen", f"127.0.0.1:{self.port}"), "Address already in use"), (("--listen", "0.0.0.0:0"), "without a token"),
                                 (("--listen", "192.0.2.1:0", "--token-file", self.dir / "nowhere"), "No such file"), (("--listen", "example.org:80"), "not looked up"),
                                 (("--listen", f"unix:{self.dir}/file"), "no socket"), (("--listen", "unix:" + "x" * 200), "at most 107 bytes"), (("--listen", "systemd"), "no socket was handed over"),
                                 (("--token-file", self.dir / "open"), "chmod 600"), (("--token-file", self.dir / "short"), "this one has 6"),
                                 (("--allowed-host", "http://x"), "a name alone"), (("--allowed-origin", "example.org"), "https://example.org")):
            done = self.run_step1x("serve", *arguments, check=2)
            self.assertRegex(done.stderr, r"\Astep1x: [^\n]*\n\Z")
            self.assertIn(words, done.stderr)
            self.assertNotIn("secret", done.stderr)
        self.assertEqual((self.dir / "file").read_text(), "mine")

    def test_with_a_token_it_may_be_reached_from_elsewhere(self):
        token = self.dir / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        self.serve("--listen", "0.0.0.0:0", "--token-file", token)
        self.assertEqual(self.ask("GET", "/api/gpu/status")[0], 401)
        self.assertEqual(self.ask("GET", "/api/gpu/status", headers={"Authorization": f"Bearer {TOKEN}"})[0], 200)

    def test_a_socket_that_systemd_hands_over(self):
        for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(self.dir / "handed"))):
            with socket.socket(family) as listener:
                listener.bind(address)
                listener.listen()
                # As systemd does it: the descriptor is the third, and the variable names the process itself.
                line = 'exec 3<&"$1"; export LISTEN_PID=$$ LISTEN_FDS=1; shift; exec "$@"'
                process = subprocess.Popen(["bash", "-c", line, "bash", str(listener.fileno()), harness.STEP1X, "serve", "--listen", "systemd"], env=self.env(),
                                           pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self.addCleanup(process.communicate)
                self.addCleanup(process.kill)
                self.assertIn("serving at", process.stderr.readline())
                if family == socket.AF_INET:
                    self.port = listener.getsockname()[1]
                connection = OverUnix(address) if family == socket.AF_UNIX else None
                self.assertEqual(self.ask("GET", "/healthz", connection=connection)[0], 200)
                self.run_step1x("worker", "start", check=0)


class End(Case):
    def test_idle_connections_do_not_hold_it_up(self):
        process = self.serve()
        idle = self.raw(b"")
        begun = self.raw(b"GET /hea")
        harness.eventually(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) > 8, what="both are in")
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=harness.HANG), 0)
        self.assertLess(time.monotonic() - start, 5, "it did not wait for the ten seconds of its grace")
        self.assertEqual((idle.recv(1), begun.recv(1)), (b"", b""))

    def test_who_waits_for_other_work_gets_an_answer(self):
        process = self.serve()
        edit = self.busy()
        connection = self.raw(f"POST /api/gpu/offload?mode=wait HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        self.ask("GET", "/api/gpu/status")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=harness.HANG), 0)
        self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 409 "))
        self.assertIsNone(edit.poll(), "the worker and its job go on")

    def test_a_second_signal_ends_it_at_once(self):
        process = self.serve()
        self.run_step1x("worker", "start", check=0)
        [worker] = self.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(os.kill, worker, signal.SIGCONT)
        self.raw(f"GET /api/gpu/status HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=harness.HANG)
        self.assertLess(time.monotonic() - start, 5)


if __name__ == "__main__":
    harness.main()
