"""Whatever comes in through the socket, the worker lives, keeps neither memory nor descriptors of it, and serves the others."""

import json
import os
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import harness

SANITIZED = harness.BUILD.name in ("asan", "tsan")
MEMORY = 10 << 20  # bytes that the worker may grow by; a sanitizer keeps what is freed
HELLO = {"op": "hello", "magic": "step1x", "protocol": 1, "version": "test", "build": "test", "pid": 1}
CLOSED = "closed"


def frame_of(data, length=None):
    return struct.pack("<I", len(data) if length is None else length) + data


def error(code, part=""):
    return lambda event: event is not None and event["event"] == "error" and event["code"] == code and part in event["message"]


class Hostile:
    """Makes frames that are wrong in one way each: (bytes, descriptors, what must follow), what must follow being CLOSED or a check of
    the event that answers."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = [getattr(self, name) for name in dir(self) if name.startswith(("a_", "an_"))]
        null = os.open("/dev/null", os.O_RDONLY)
        self.fds = [harness.picture(8, 8), null, socket.socket(socket.AF_UNIX).detach(), os.pipe()[0]]

    def next(self):
        return self.random.choice(self.kinds)()

    def fd(self):
        return self.random.choice(self.fds)

    def a_length_out_of_range(self):
        length = self.random.choice([0, 1, (1 << 20) + 1, 1 << 24, 1 << 31, (1 << 32) - 1, self.random.randrange((1 << 20) + 1, 1 << 32)])
        return frame_of(b"{}", length), [], CLOSED

    def a_body_of_random_bytes(self):
        return frame_of(self.random.randbytes(self.random.randrange(2, 300)).replace(b"{", b"x")), [], CLOSED

    def a_body_that_is_no_object(self):
        return frame_of(self.random.choice([b"[]", b"17", b'"op"', b"null", b"true", b"1e999", b"[" * 1000, b"[{}]"])), [], CLOSED

    def a_body_with_broken_json(self):
        whole = json.dumps({"op": "ping", "x": [1, {"y": None}]}).encode()
        at = self.random.randrange(1, len(whole) - 1)
        return frame_of(whole[:at]), [], CLOSED

    def a_deep_body(self):
        depth = self.random.choice([17, 1000, 100_000])
        return frame_of(b'{"op":"ping","x":' + b"[" * depth + b"]" * depth + b"}"), [], CLOSED

    def a_body_that_is_not_utf_8(self):
        bad = self.random.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"])
        return frame_of(b'{"op":"' + bad + b'"}'), [], CLOSED

    def a_descriptor_where_none_belongs(self):
        return harness.frame({"op": self.random.choice(["ping", "status", "cancel", "nonsense"])}), [self.fd()], CLOSED

    def a_descriptor_of_an_unknown_kind(self):
        return harness.frame({"op": "ping", "fd": self.random.choice(["picture", "", 5, None, ["image"]])}), [self.fd()], CLOSED

    def a_missing_descriptor(self):
        return harness.frame({"op": "ping", "fd": "image"}), [], CLOSED

    def too_many(self, count):
        return harness.frame(harness.edit_request(8, 8)), [self.fd() for _ in range(count)], CLOSED

    def a_second_descriptor(self):
        return self.too_many(2)

    def a_crowd_of_descriptors(self):
        return self.too_many(self.random.choice([8, 9, 100, 253]))

    def a_descriptor_on_a_later_byte(self):
        data = harness.frame(harness.edit_request(8, 8))
        at = self.random.choice([1, 2, 3, 4, 5, len(data) - 1])
        return [(data[:at], []), (data[at:], [self.fd()])], None, CLOSED

    def picture(self, fd, **request):
        return harness.frame(harness.edit_request(8, 8, **request)), [fd], error("protocol")

    def a_picture_that_is_no_memfd(self):
        return self.picture(self.random.choice(self.fds[1:]))

    def a_picture_of_another_size(self):
        data, fds, _ = self.picture(self.fds[0])
        other = harness.edit_request(self.random.choice([1, 7, 9, 65535]), self.random.choice([1, 7, 9, 4000]))
        return harness.frame(other), fds, error("protocol", "must have")

    def a_picture_over_the_limits(self):
        return harness.frame(harness.edit_request(65535, 65535)), [self.fds[0]], error("protocol", "over the limits")

    def an_unknown_op(self):
        return harness.frame({"op": self.random.choice(["", "hello", "Edit", "x" * 1000, "\0", "\ud7ff"])}), [], error("usage", "not known")

    def an_op_that_is_no_text(self):
        return harness.frame({"op": self.random.choice([5, None, [], {}, True])}), [], error("usage", "op")

    def a_wrong_member(self):
        key, values = self.random.choice([
            ("prompt", [None, 5, [], "x" * 65537]), ("negative_prompt", [5, "x" * 65537]), ("size", [0, 15, 4097, -1, 1.5, "512", 1 << 63]),
            ("steps", [0, 1001, -1, "4", None, 1e300]), ("guidance", ["6", -0.1, 100.1, 1e300, None]), ("seed", [-1, (1 << 53) + 1, 1.5, 1 << 64]),
            ("model", ["", "relative", 5, "x" * 5000]), ("device", [5, "x" * 5000]), ("priority", ["high", 5]), ("width", [0, -1, 65536, "8"]),
            ("timers", [5, [], {"idle_timeout": "x"}, {"offload_delay": -2}, {"auto_monitor": 5}]), ("torch_dir", ["relative", 5]),
            ("visible_devices", [5, "x" * 5000]),
            ("container_devices", [5, "x" * 5000]),
        ])
        named = "" if key == "timers" else key  # by its own member
        return harness.frame({**harness.edit_request(8, 8), key: self.random.choice(values)}), [self.fds[0]], error("usage", named)

    def a_wrong_id(self):
        value = self.random.choice([-1, (1 << 53) + 1, 1 << 63, 1 << 64, "1", 1.5, [], {}])
        return harness.frame({"op": "ping", "id": value}), [], error("usage", "id")

    def a_wrong_mode(self):
        op = self.random.choice(["offload", "release", "shutdown"])
        return harness.frame({"op": op, "mode": self.random.choice(["", "now", 5, []])}), [], error("usage", "mode")

    def a_request_that_grows(self):
        body = json.dumps(harness.edit_request(8, 8, x=0)).replace('"x": 0', '"x": [' + ",".join(["1e9"] * 150_000) + "]")
        return frame_of(body.encode()), [self.fds[0]], error("protocol", "over the limit")

    def a_half_frame(self):
        data = harness.frame({"op": "status"})
        return data[: self.random.randrange(1, len(data))], [], None

    def a_cancel_of_nothing(self):
        return harness.frame({"op": "cancel", "id": self.random.randrange(1 << 53)}), [], None


class Worker(harness.Case):
    def setUp(self):
        super().setUp()
        self.run_step1x(*self.edit_arguments(self.dir / "warm.png"), check=0)
        [self.pid] = self.worker_pids()
        # The first connections of a process grow its tables.
        self.send_all(Hostile(0), 50)
        harness.eventually(lambda: self.status()["worker"]["connections"] == 1, what="only the one that asks is connected")
        # Who asked is gone a moment after its answer.
        self.fds = min(self.count_fds() for _ in range(50) if not time.sleep(0.01))
        self.rss = harness.rss(self.pid)

    def count_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def send_all(self, hostile, times):
        for number in range(times):
            data, fds, follows = hostile.next()
            with harness.Connection(self.runtime / "worker.sock") as connection:
                try:
                    for part, with_it in data if isinstance(data, list) else [(data, fds)]:
                        connection.raw(part, with_it)
                except (BrokenPipeError, ConnectionResetError):
                    self.assertEqual(follows, CLOSED)
                if follows == CLOSED:
                    self.assertIsNone(connection.receive(), f"frame {number}: {data[:200]}")
                elif follows is not None:
                    event = connection.receive()
                    self.assertTrue(follows(event), f"frame {number}: {data[:200]} was answered with {event}")
                    # The connection stays.
                    connection.send({"op": "ping"})
                    self.assertEqual(connection.receive()["event"], "pong")

    def as_before(self, growth=MEMORY):
        self.assertEqual(self.worker_pids(), [self.pid])
        # Fewer when a cancelled job was the reason to end an engine.
        harness.eventually(lambda: self.count_fds() <= self.fds, what=f"{self.fds} descriptors, as before")
        grown = harness.rss(self.pid) - self.rss
        print(f"{self.id()}: the worker has {self.count_fds()} descriptors, before {self.fds}, and {grown / 2**20:+.1f} MiB", file=sys.stderr)
        if not SANITIZED:
            self.assertLess(grown, growth)

    def test_malformed_frames_one_after_the_other_beside_a_live_client(self):
        stop = threading.Event()
        problems = []
        edits = []

        def live():
            try:
                with harness.Connection(self.runtime / "worker.sock") as connection:
                    while not stop.is_set():
                        connection.edit(fake="step=5ms")
                        event = connection.until("done", "error")
                        edits.append(event["event"])
                        connection.send({"op": "ping"})
                        connection.until("pong")
                        for fd in connection.fds:
                            os.close(fd)
                        connection.fds.clear()
            except Exception as problem:  # the other thread reports it
                problems.append(problem)

        thread = threading.Thread(target=live)
        thread.start()
        hostile = Hostile(int(os.environ.get("STEP1X_SEED", "1")))
        try:
            self.send_all(hostile, harness.count(300 if SANITIZED else 1500, 10_000))
        finally:
            stop.set()
            thread.join()
        self.assertEqual((problems, set(edits)), ([], {"done"}))
        print(f"{len(edits)} edits of a live client beside them", file=sys.stderr)
        self.as_before()

    def test_malformed_hellos(self):
        hostile = Hostile(5)
        wrong = [{**HELLO, "magic": "step2x"}, {**HELLO, "protocol": "1"}, {**HELLO, "protocol": -1}, {**HELLO, "pid": None}, {"op": "status"},
                 {**HELLO, "version": 5}, {"event": "hello"}, {}, {**HELLO, "protocol": 1 << 31}]
        for number in range(harness.count(200, 2000)):
            with harness.Connection(self.runtime / "worker.sock", hello=False) as connection:
                if number % 2:
                    connection.send(wrong[number // 2 % len(wrong)])
                else:
                    data, fds, follows = hostile.a_length_out_of_range() if number % 4 else hostile.a_descriptor_where_none_belongs()
                    connection.raw(data, fds)
                self.assertIsNone(connection.receive())
        self.as_before()

    def test_a_length_of_4_gib_reserves_nothing(self):
        connections = [self.connect() for _ in range(50)]
        for connection in connections:
            # The most that is allowed, and nothing after it.
            connection.raw(frame_of(b"", 1 << 20))
        with self.connect() as live:
            live.send({"op": "ping"})
            self.assertEqual(live.receive()["event"], "pong")
        if not SANITIZED:
            self.assertLess(harness.rss(self.pid) - self.rss, MEMORY)
        for connection in connections:
            connection.close()
        for length in ((1 << 20) + 1, 0xFFFFFFFF):
            with self.connect() as connection:
                connection.raw(frame_of(b"", length))
                self.assertIsNone(connection.receive())
        self.as_before()

    def errors(self, connection):
        """Those that are there by now: what is asked next is answered after them."""
        connection.send({"op": "ping", "id": 99})
        found = []
        while (event := connection.receive())["event"] != "pong":
            if event["event"] == "error":
                found.append((event["id"], event["code"], event["retryable"]))
        return found

    def test_a_connection_has_at_most_16_jobs(self):
        with self.connect() as connection:
            for number in range(17):
                connection.edit(fake="step=30s", id=number)
            self.assertEqual(self.errors(connection), [(16, "busy", True)])
            connection.edit(fake="step=30s", id=3)
            self.assertEqual(self.errors(connection), [(3, "busy", True)])
        harness.eventually(lambda: self.status()["queue"]["running"] == 0, what="the end of the connection has ended its jobs")
        self.as_before()

    def test_the_queue_is_bounded_and_says_busy(self):
        connections = [self.connect() for _ in range(34)]
        refused = 0
        for connection in connections:
            for number in range(16):
                connection.edit(fake="step=30s", id=number)
            connection.send({"op": "ping", "id": 99})
            while (event := connection.receive())["event"] != "pong":
                if event["event"] == "error":
                    self.assertEqual((event["code"], event["message"]), ("busy", "512 jobs wait already: try again later"))
                    refused += 1
        self.assertEqual(refused, 34 * 16 - 512 - 1)
        for connection in connections:
            connection.close()
        harness.eventually(lambda: self.status()["queue"]["waiting"] == 0, what="all jobs are gone with their clients")
        self.as_before()

    def test_stalled_readers_do_not_hold_up_a_live_one(self):
        def edit_time():
            with self.connect() as connection:
                start = time.monotonic()
                for _ in range(5):
                    connection.edit(fake="step=1ms")
                    self.assertEqual(connection.until("done", "error")["event"], "done")
                return (time.monotonic() - start) / 5

        alone = statistics.median(edit_time() for _ in range(5))
        stalled = []
        for _ in range(50):
            connection = self.connect()
            stalled.append(connection)
            # More than the kernel takes, so that the worker has to keep the rest.
            for number in range(300):
                connection.send({"op": "status", "id": 2 + number})
            connection.edit(fake="step=1ms", steps=20, id=1)
        harness.eventually(lambda: self.status()["queue"]["running"] == self.status()["queue"]["waiting"] == 0, what="their jobs are done")
        beside = statistics.median(edit_time() for _ in range(5))
        grown = harness.rss(self.pid) - self.rss
        print(f"an edit takes {1000 * alone:.1f} ms, beside 50 stalled readers {1000 * beside:.1f} ms; the worker has {grown / 2**20:+.1f} MiB", file=sys.stderr)
        self.assertLess(beside, 10 * alone + 0.1)
        if not SANITIZED:
            self.assertGreater(grown, 1 << 20, "nothing waits for them: this test has shown nothing")
            self.assertLess(grown, 20 << 20)
        # Nothing that is no progress was dropped, and the result's picture came.
        late = stalled[7]
        answers = []
        while len(answers) < 301:
            event = late.receive()
            if event["event"] in ("status", "done"):
                answers.append(event["event"])
        self.assertEqual((answers.count("done"), len(late.fds)), (1, 1))
        for connection in stalled[:25]:
            connection.close()
        start = time.monotonic()
        self.run_step1x("worker", "stop", check=0)
        print(f"stopped beside 25 stalled readers within {time.monotonic() - start:.1f} s", file=sys.stderr)
        harness.eventually(lambda: not self.worker_pids(), what="the worker has ended")
        for connection in stalled[25:]:
            connection.close()

    def test_who_sends_without_pause_does_not_hold_up_the_others(self):
        """One process of its own floods the worker with requests that have no answer."""
        flood = (f"import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect({str(self.runtime / 'worker.sock')!r})\n"
                 f"s.sendall({harness.frame(HELLO)!r})\ns.recv(1 << 16)\nprint('ready', flush=True)\n"
                 f"while True: s.sendall({harness.frame({'op': 'cancel', 'id': 1})!r} * 4000)")
        process = subprocess.Popen([sys.executable, "-c", flood], stdout=subprocess.PIPE)
        try:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            times = []
            with self.connect() as live:
                for _ in range(100):
                    start = time.monotonic()
                    live.send({"op": "ping"})
                    live.until("pong")
                    times.append(time.monotonic() - start)
        finally:
            process.kill()
            process.communicate()
        print(f"beside a flood a ping takes {1000 * statistics.median(times):.1f} ms, at most {1000 * max(times):.1f} ms", file=sys.stderr)
        self.assertLess(statistics.median(times), 1)
        self.as_before()

    def test_who_asks_and_never_reads_is_disconnected_before_it_costs_much(self):
        with self.connect() as connection:
            request = harness.frame({"op": "status"}) * 100
            try:
                for _ in range(1000):
                    connection.raw(request)
                self.fail("100,000 answers are kept for it")
            except (BrokenPipeError, ConnectionResetError):
                pass
        self.as_before()

    @harness.unittest.skipUnless(harness.LONG, "waits out two minutes; scripts/test --long")
    def test_half_frames_and_unread_answers_are_not_waited_for_for_ever(self):
        dripping, silent, unread = self.connect(), self.connect(), self.connect()
        silent.raw(b"\x10")
        for _ in range(500):
            unread.send({"op": "status"})
        data = frame_of(b" " * 1000)
        ended = set()
        start = time.monotonic()
        for byte in data:
            for name, connection, sent in (("dripping", dripping, bytes([byte])), ("unread", unread, harness.frame({"op": "ping"}))):
                try:
                    connection.raw(sent)
                except (BrokenPipeError, ConnectionResetError):
                    ended.add(name)
            if len(ended) == 2:
                break
            self.assertLess(time.monotonic() - start, harness.HANG * 3)
            time.sleep(1)
        self.assertIsNone(silent.receive())
        print(f"all three were disconnected within {time.monotonic() - start:.0f} s", file=sys.stderr)
        for connection in (dripping, silent, unread):
            connection.close()
        self.as_before()

    def test_more_connections_than_descriptors(self):
        limit = 96
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with self.connect() as live:
            crowd = [self.connect_only() for _ in range(1000)]
            time.sleep(0.5)
            before = cpu_seconds(self.pid)
            time.sleep(2)
            spent = (cpu_seconds(self.pid) - before) / 2
            print(f"with {limit} descriptors and 1,000 connections waiting the worker takes {100 * spent:.1f} % of a core", file=sys.stderr)
            self.assertLess(spent, 0.5)
            self.assertLess(self.count_fds(), limit - 15)
            # Who was in before can send a picture and have an engine started for it.
            live.edit(fake="step=1ms,load=1ms")
            self.assertEqual(live.until("done", "error")["event"], "done")
        for connection in crowd:
            connection.close()
        start = time.monotonic()
        self.run_step1x("gpu", "status", check=0)
        print(f"served again after {time.monotonic() - start:.2f} s", file=sys.stderr)
        self.assertEqual(self.worker_pids(), [self.pid])
        harness.eventually(lambda: self.count_fds() <= self.fds, what="the descriptors are closed")

    def connect_only(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(harness.HANG)
        connection.connect(str(self.runtime / "worker.sock"))
        return connection


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    harness.main()
