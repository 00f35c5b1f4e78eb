"""What code inside a sandbox finds: no rights, nothing of the platform, and limits that hold.

Every attempt at something forbidden is in a function marked `@probe`: it is deployed, and runs only inside Casemate's
sandbox, never on this host.
"""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Inside, Server, handler, memory_in_kib, wait_until, with_argument

probe = Inside("inside/probe", limits={"timeout": "30s", "memory": "256MiB", "tmp": "64MiB", "pids": 64})
hungry = Inside("inside/hungry", limits={"timeout": "20s", "memory": "128MiB", "tmp": "32MiB", "pids": 32})


@probe
def own_status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@probe
def status_of_first_process() -> dict[str, str]:
    with open("/proc/1/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@probe
def identity() -> dict[str, Any]:
    import os

    return {
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "pid": os.getpid(),
        "ppid": os.getppid(),
    }


@probe
def tries_to_write(paths: list[str]) -> dict[str, str]:
    import errno
    import os

    found = {}
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            found[path] = "written"
        except OSError as refused:
            found[path] = errno.errorcode[refused.errno or 0]
    return found


@probe
def tries_to_become_root() -> dict[str, str]:
    import errno
    import os

    found = {}
    for name, action in (
        ("setuid", lambda: os.setuid(0)),
        ("setgid", lambda: os.setgid(0)),
        ("setgroups", lambda: os.setgroups([0])),
        ("setresuid", lambda: os.setresuid(0, 0, 0)),
        ("chroot", lambda: os.chroot("/tmp")),
        ("mknod", lambda: os.mknod("/tmp/device", 0o20666, os.makedev(1, 3))),
        ("chown", lambda: os.chown("/tmp", 0, 0)),
        ("nice", lambda: os.nice(-5)),
    ):
        try:
            action()
            found[name] = "allowed"
        except OSError as refused:
            found[name] = errno.errorcode[refused.errno or 0]
    return found


@probe
def mounts() -> list[str]:
    with open("/proc/self/mountinfo") as file:
        return file.read().splitlines()


@probe
def network() -> dict[str, Any]:

    found: dict[str, Any] = {}
    with open("/proc/net/dev") as file:
        found["devices"] = [line.split(":")[0].strip() for line in file if ":" in line]
    with open("/proc/net/route") as file:
        found["routes"] = file.read().splitlines()[1:]
    with open("/proc/net/ipv6_route") as file:
        found["routes6"] = [line.split()[-1] for line in file]
    with open("/proc/net/unix") as file:
        found["unix"] = [line.split()[-1] for line in file.read().splitlines()[1:] if "/" in line or "@" in line]
    return found


@probe
def other_processes() -> dict[str, Any]:
    import os

    own = {os.getpid(), os.getppid()}
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                found[entry] = file.read().replace(b"\0", b" ").decode()
    return {"processes": found, "own": sorted(own)}


@probe
def environment() -> dict[str, Any]:
    import os

    found: dict[str, Any] = {"python": dict(os.environ)}
    for name in ("1", "self"):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                found[name] = file.read().decode()
        except PermissionError:
            found[name] = ""
    return found


@probe
def descriptors() -> dict[str, str]:
    import os

    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return found


@probe
def looks_around(paths: list[str]) -> dict[str, Any]:
    import errno
    import os

    found: dict[str, Any] = {}
    for path in paths:
        try:
            if os.path.isdir(path):
                found[path] = os.listdir(path)
            else:
                with open(path, "rb") as file:
                    found[path] = len(file.read(4096))
        except OSError as refused:
            found[path] = errno.errorcode[refused.errno or 0]
    return found


@probe
def walks_the_root() -> list[str]:
    import os

    found = []
    for folder, folders, names in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys")]
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if mode & 0o6000:
                found.append(f"setuid {path}")
            elif mode & 0o170000 in (0o060000, 0o020000) and path not in (
                "/dev/null",
                "/dev/zero",
                "/dev/full",
                "/dev/random",
                "/dev/urandom",
                "/dev/tty",
                "/dev/ptmx",
                "/dev/pts/ptmx",
            ):
                found.append(f"device {path}")
            elif mode & 0o170000 == 0o140000:
                found.append(f"socket {path}")
    return found


@probe
def opens_sockets() -> dict[str, str]:
    import errno
    import socket

    found = {}
    for name, arguments in {
        "AF_PACKET raw": (17, 3, 0),
        "AF_PACKET dgram": (17, 2, 0),
        "AF_VSOCK": (40, 1, 0),
        "AF_NETLINK route": (16, 3, 0),
        "AF_NETLINK audit": (16, 3, 9),
        "AF_ALG": (38, 5, 0),
        "AF_XDP": (44, 3, 0),
        "AF_BLUETOOTH": (31, 3, 0),
        "AF_CAN": (29, 3, 1),
        "AF_TIPC": (30, 2, 0),
        "AF_RDS": (21, 5, 0),
        "AF_KEY": (15, 3, 2),
        "raw ICMP": (2, 3, 1),
        "raw ICMPv6": (10, 3, 58),
        "raw IP": (2, 3, 255),
    }.items():
        try:
            socket.socket(*arguments).close()
            found[name] = "opened"
        except OSError as refused:
            found[name] = errno.errorcode[refused.errno or 0]
    return found


@probe
def calls_forbidden_syscalls() -> dict[str, str]:
    import ctypes
    import errno
    import platform

    assert platform.machine() == "x86_64"
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    numbers: dict[str, Any] = {
        "ptrace": (101, 16, 1, 0, 0),
        "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0),
        "umount2": (166, b"/tmp", 2),
        "pivot_root": (155, b"/tmp", b"/tmp"),
        "chroot": (161, b"/tmp"),
        "unshare user": (272, 0x10000000),
        "unshare net": (272, 0x40000000),
        "setns": (308, 0, 0),
        "bpf": (321, 0, buffer, 128),
        "keyctl": (250, 0, -3, 0),
        "add_key": (248, b"user", b"x", b"y", 1, -3),
        "request_key": (249, b"user", b"x", None, -3),
        "perf_event_open": (298, buffer, 0, -1, -1, 0),
        "init_module": (175, buffer, 16, b""),
        "finit_module": (313, 0, b"", 0),
        "kexec_load": (246, 0, 0, 0, 0),
        "reboot": (169, 0xFEE1DEAD, 672274793, 0, 0),
        "swapon": (167, b"/tmp/x", 0),
        "open_by_handle_at": (304, -100, buffer, 0),
        "name_to_handle_at": (303, -100, b"/", buffer, buffer, 0),
        "process_vm_readv": (310, 1, buffer, 1, buffer, 1, 0),
        "process_vm_writev": (311, 1, buffer, 1, buffer, 1, 0),
        "userfaultfd": (323, 0),
        "io_uring_setup": (425, 8, buffer),
        "move_mount": (429, -100, b"/", -100, b"/tmp", 0),
        "open_tree": (428, -100, b"/", 1),
        "fsopen": (430, b"tmpfs", 0),
        "mount_setattr": (442, -100, b"/", 0, buffer, 32),
        "clone3 user": (435, ctypes.create_string_buffer((0x10000000).to_bytes(8, "little") + bytes(80), 88), 88),
        "clone user": (56, 0x10000000, 0, 0, 0, 0),
        "acct": (163, b"/tmp/x"),
        "sethostname": (170, b"x", 1),
        "settimeofday": (164, buffer, 0),
        "clock_settime": (227, 0, buffer),
        "quotactl": (179, 0, b"/", 0, 0),
        "syslog": (103, 3, buffer, 16),
        "iopl": (172, 3),
        "ioperm": (173, 0, 8, 1),
        "personality": (135, 0x0040000),
        "kcmp": (312, 1, 1, 0, 0, 0),
        "pidfd_getfd": (438, 0, 0, 0),
        "lookup_dcookie": (212, 0, buffer, 16),
        "nfsservctl": (180, 0, 0, 0),
        "vhangup": (153,),
        "modify_ldt": (154, 1, buffer, 16),
    }
    found = {}
    for name, (number, *arguments) in numbers.items():
        ctypes.set_errno(0)
        given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        result = libc.syscall(ctypes.c_long(number), *given)
        if result == 0 and name.startswith("clone"):
            libc._exit(0)
        found[name] = "allowed" if result >= 0 else errno.errorcode[ctypes.get_errno()]
    return found


@probe
def overwrites_its_interpreter() -> dict[str, str]:
    import errno
    import os
    import sys

    found = {}
    for path in ("/proc/self/exe", "/proc/1/exe", sys.executable, os.__file__, "/proc/1/oom_score_adj"):
        try:
            descriptor = os.open(path, os.O_WRONLY)
            if path.endswith("oom_score_adj"):
                os.write(descriptor, b"-1000")
            os.close(descriptor)
            found[path] = "opened"
        except OSError as refused:
            found[path] = errno.errorcode[refused.errno or 0]
    return found


@probe
def writes_marker(marker: str) -> list[str]:
    import os

    with open(f"/tmp/{marker}", "w") as file:
        file.write(marker)
    os.environ["MARKER"] = marker
    return sorted(os.listdir("/tmp"))


@probe
def kills_everyone(marker: str) -> list[list[int]]:
    import os
    import signal

    found: list[list[int]] = []
    for pid in (-1, 0, 1, 2, os.getppid()):
        for number in (0, signal.SIGTERM):
            if pid == 0 and number:
                continue
            try:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.kill(pid, number)
                found.append([pid, number, 0])
            except OSError as refused:
                found.append([pid, number, refused.errno or 0])
    return found


@hungry
def fork_bomb(marker: str) -> dict[str, int]:
    import os
    import signal
    import time

    children = []
    code = 0
    for _ in range(5000):
        try:
            child = os.fork()
        except OSError as refused:
            code = refused.errno or 0
            break
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"children": len(children), "errno": code}


@hungry
def thread_bomb() -> int:
    import threading

    stop = threading.Event()
    count = 0
    try:
        for _ in range(100_000):
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        pass
    stop.set()
    return count


@hungry
def descriptor_bomb() -> list[int]:
    import os

    kept = []
    code = 0
    try:
        for _ in range(200_000):
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as refused:
        code = refused.errno or 0
    for descriptor in kept:
        os.close(descriptor)
    return [len(kept), code]


@hungry
def fills_tmp(path: str) -> list[int]:
    import os

    written = 0
    code = 0
    try:
        with open(path, "wb", buffering=0) as file:
            for _ in range(1024):
                written += file.write(b"x" * (1 << 20))
    except OSError as refused:
        code = refused.errno or 0
    try:
        os.unlink(path)
    except OSError:
        pass
    return [written, code]


@hungry
def fills_tmp_with_many_files() -> list[int]:
    import os

    written = 0
    code = 0
    os.mkdir("/tmp/parts")
    try:
        for number in range(1024):
            with open(f"/tmp/parts/{number}", "wb", buffering=0) as file:
                written += file.write(b"x" * (1 << 20))
    except OSError as refused:
        code = refused.errno or 0
    for name in os.listdir("/tmp/parts"):
        os.unlink(f"/tmp/parts/{name}")
    os.rmdir("/tmp/parts")
    return [written, code]


@hungry
def inode_bomb() -> list[int]:
    import os
    import time

    made = 0
    code = 0
    end = time.monotonic() + 12
    os.mkdir("/tmp/many")
    try:
        while made < 1_000_000 and time.monotonic() < end:
            os.close(os.open(f"/tmp/many/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as refused:
        code = refused.errno or 0
    return [made, code]


@hungry
def spins() -> None:
    import os

    for _ in range(8):
        if os.fork() == 0:
            break
    while True:
        pass


@hungry
def is_well() -> str:
    return "well"


@pytest.mark.case("X1")
@pytest.mark.guarantee("KYM-12")
def test_X1_no_capabilities_no_new_privileges_seccomp_filter_and_an_ordinary_user_inside(server: Server) -> None:
    for status in (own_status(server), status_of_first_process(server)):
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
    who = identity(server)
    assert 0 not in who["uids"] and 0 not in who["gids"] and 0 not in who["groups"]
    assert len(set(who["groups"]) - set(who["gids"])) == 0


@pytest.mark.case("X1", "X11")
@pytest.mark.guarantee("KYM-12")
def test_X11_outside_every_sandbox_has_a_user_of_its_own_that_is_not_root(server: Server) -> None:
    is_well(server)
    own_status(server)
    sandboxes = server.sandboxes()
    assert len(sandboxes) >= 3
    ranges: dict[int, str] = {}
    for name, members in sandboxes.items():
        for process in members:
            for uid in process.uids:
                assert uid >= 65536, f"{name} runs as {uid}"
                assert ranges.setdefault(uid, name) == name, f"{name} shares uid {uid} with {ranges[uid]}"
    owners = {Path(f"/proc/{server.pid}").stat().st_uid, 0}
    assert not owners & set(ranges)


@pytest.mark.case("X1", "X9")
@pytest.mark.guarantee("KYM-12")
def test_X9_the_root_is_read_only_and_only_tmp_can_be_written(server: Server) -> None:
    paths = [
        "/x",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/passwd",
        "/usr/lib/python3.11/os.py",
        "/usr/bin/x",
        "/home/x",
        "/fn/x",
        "/opt/x",
    ]
    paths += [
        "/etc/ssl/certs/ca-certificates.crt",
        "/fn/src/handler.py",
        "/opt/casemate/casemate_runtime/bootstrap.py",
        "/var/x",
        "/run/x",
        "/root/x",
    ]
    found = tries_to_write(server, paths=paths)
    assert found["/x"] == "EROFS"
    assert set(found.values()) <= {"EROFS", "EACCES", "ENOENT"}, found
    assert tries_to_write(server, paths=["/tmp/x"]) == {"/tmp/x": "written"}
    elsewhere = tries_to_write(
        server, paths=["/dev/x", "/dev/shm/x", "/dev/mqueue/x", "/proc/sys/kernel/core_pattern", "/sys/x"]
    )
    assert "written" not in {result for path, result in elsewhere.items() if path != "/dev/shm/x"}, elsewhere
    for line in mounts(server):
        options = set(line.split()[5].split(","))
        if line.split()[4] == "/":
            assert "ro" in options, line
        if "rw" in options:
            assert {"nosuid", "nodev"} <= options or line.split()[4].startswith(("/dev", "/proc")), line


@pytest.mark.case("X4")
def test_X4_no_way_to_root_or_to_higher_priority(server: Server) -> None:
    found = tries_to_become_root(server)
    assert "allowed" not in found.values(), found


@pytest.mark.case("X4")
def test_X4_killing_everyone_harms_nobody_else(server: Server) -> None:
    marker = str(uuid.uuid4())
    answer = kills_everyone.answer(server, marker=marker)
    assert answer.status in (200, 502)
    assert is_well(server) == "well"
    assert own_status(server)["Seccomp"] == "2"
    server.assert_serving()


@pytest.mark.guarantee("COG-1")
def test_COG_1_nothing_of_the_platform_is_inside(server: Server) -> None:
    server_folder = str(server.data)
    paths = [
        server_folder,
        str(server.data / "admin.key"),
        "/run/casemate",
        "/var/lib/casemate",
        "/root",
        "/home",
        "/boot",
        "/sys/fs/cgroup",
    ]
    found = looks_around(server, paths=paths)
    for path, result in found.items():
        assert result in ("ENOENT", "EACCES", []), f"{path}: {result}"
    text = " ".join(mounts(server))
    # A mount's root is a path on the host; it must not tell where the platform keeps its data.
    assert server_folder not in text, text
    environ = environment(server)
    for variable in [*environ["python"], environ["1"], environ["self"]]:
        assert "CASEMATE" not in variable.upper(), variable
    for hidden in (server.key, server.api_url, server.gateway_url, "admin.key"):
        assert hidden not in str(environ)


@pytest.mark.guarantee("COG-1")
@pytest.mark.case("X1")
def test_COG_1_no_other_process_is_seen_and_the_command_line_tells_nothing(server: Server) -> None:
    seen = other_processes(server)
    assert set(map(int, seen["processes"])) <= {1, *seen["own"]}
    for command in seen["processes"].values():
        assert str(server.data) not in command and "serve" not in command.split()
    assert identity(server)["ppid"] in (0, 1)


@pytest.mark.case("X7")
def test_X7_open_descriptors_lead_to_no_file_of_the_host(server: Server) -> None:
    for number, target in descriptors(server).items():
        assert re.match(
            r"(socket|pipe|anon_inode):|/dev/(null|urandom)|/proc/\d+/fd|/fn/|/tmp/", target
        ), f"{number}: {target}"
    sockets = [target for target in descriptors(server).values() if target.startswith("socket:")]
    assert len(sockets) == 1, "more sockets than the control socket"


@pytest.mark.case("X7")
def test_X7_the_interpreter_cannot_be_overwritten_nor_the_oom_score_lowered(server: Server) -> None:
    found = overwrites_its_interpreter(server)
    assert "opened" not in found.values(), found


def test_no_setuid_program_device_or_socket_is_in_the_root(server: Server) -> None:
    assert walks_the_root(server) == []


@pytest.mark.case("X1")
def test_X1_what_proc_and_sys_tell_of_the_host_is_masked(server: Server) -> None:
    paths = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/sysrq-trigger",
        "/proc/kallsyms",
        "/proc/sched_debug",
        "/proc/config.gz",
    ]
    paths += [
        "/proc/acpi",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/kernel/debug",
        "/proc/kmsg",
        "/proc/1/mem",
        "/dev/mem",
        "/dev/kmsg",
        "/proc/iomem",
    ]
    for path, result in looks_around(server, paths=paths).items():
        if path in ("/proc/kallsyms", "/proc/iomem"):
            continue
        assert result in ("ENOENT", "EACCES", "EPERM", 0, []), f"{path}: {result}"


@pytest.mark.guarantee("COG-24")
def test_the_only_interface_is_the_loopback_and_there_is_no_route(server: Server) -> None:
    found = network(server)
    assert found["devices"] == ["lo"]
    assert found["routes"] == []
    assert set(found["routes6"]) <= {"lo"}
    assert found["unix"] == []


@pytest.mark.case("X5")
def test_X5_packet_netlink_vsock_crypto_and_raw_sockets_are_unavailable(server: Server) -> None:
    found = opens_sockets(server)
    assert [name for name, result in found.items() if result == "opened"] == []


def test_system_calls_that_reach_the_kernel_s_inner_parts_are_refused_by_errno(server: Server) -> None:
    found = calls_forbidden_syscalls(server)
    assert [name for name, result in found.items() if result == "allowed"] == []
    for name in (
        "ptrace",
        "mount",
        "unshare user",
        "unshare net",
        "bpf",
        "keyctl",
        "setns",
        "io_uring_setup",
        "userfaultfd",
        "open_by_handle_at",
    ):
        assert found[name] in (
            "EPERM",
            "ENOSYS",
            "EACCES",
        ), f"{name}: {found[name]} comes from the kernel, not from the filter"


def others_are_served_during(server: Server, work: Any) -> Any:
    """Runs the work while another function is called; its calls must all be answered."""
    server.assert_serving()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        answered = 0
        while not running.done() or answered == 0:
            begin = time.monotonic()
            server.assert_serving()
            assert time.monotonic() - begin < 10
            answered += 1
            time.sleep(0.05)
        return running.result()


@pytest.mark.case("X3")
def test_X3_a_fork_bomb_ends_at_the_limit_of_processes(server: Server) -> None:
    answer = others_are_served_during(server, lambda: fork_bomb.answer(server, marker="fork"))
    assert answer.status == 200, answer.text
    assert answer.json()["children"] < 32 and answer.json()["errno"] == 11
    assert is_well.answer(server).status in (200, 500, 502)
    assert wait_until(lambda: is_well.answer(server).status == 200, 5)


@pytest.mark.case("X3")
def test_X3_a_hundred_thousand_threads_end_at_the_limit(server: Server) -> None:
    answer = others_are_served_during(server, lambda: thread_bomb.answer(server))
    assert answer.status in (200, 500, 502), answer.text
    if answer.status == 200:
        assert answer.json() < 32
    assert wait_until(lambda: is_well.answer(server).status == 200, 5)


@pytest.mark.case("X3")
def test_X3_descriptors_are_limited(server: Server) -> None:
    opened, code = others_are_served_during(server, lambda: descriptor_bomb(server))
    assert code == 24 and opened < 100_000


@pytest.mark.case("X3")
def test_X3_tmp_is_full_at_its_limit(server: Server) -> None:
    for fill in (lambda: fills_tmp(server, path="/tmp/large"), lambda: fills_tmp_with_many_files(server)):
        written, code = others_are_served_during(server, fill)
        # EFBIG where one file is limited too, ENOSPC where the folder is full.
        assert code in (27, 28) and (28 << 20) <= written <= (32 << 20)


@pytest.mark.case("X3")
def test_X3_no_other_writable_place_is_larger(server: Server) -> None:
    for path in ("/dev/shm/large", "/dev/large", "/run/large", "/var/tmp/large"):
        answer = fills_tmp.answer(server, path=path)
        if answer.status == 200:
            assert answer.json()[0] <= 32 << 20, path
        else:
            assert answer.json().get("reason") == "out-of-memory", answer.text
        assert wait_until(lambda: is_well.answer(server).status == 200, 5)


@pytest.mark.case("X3")
def test_X3_inodes_are_limited(server: Server) -> None:
    answer = others_are_served_during(server, lambda: inode_bomb.answer(server))
    assert answer.status in (200, 502), answer.text
    if answer.status == 200:
        made, code = answer.json()
        assert code == 28 and made < 1_000_000, f"{made} files were made, errno {code}"
    else:
        assert answer.json().get("reason") == "out-of-memory"
    server.cli("secret", "list", "inside/hungry")


@pytest.mark.case("X3")
def test_X3_a_cpu_spin_ends_at_the_timeout_and_others_are_served(server: Server) -> None:
    assert others_are_served_during(server, lambda: spins.answer(server)).status == 504


@pytest.mark.case("X3")
def test_X3_the_server_s_own_memory_stays_bounded_through_all_of_this(server: Server) -> None:
    assert memory_in_kib(server.pid) < 700 << 10


@pytest.mark.case("X16", "S16")
def test_X16_an_instance_of_one_function_never_serves_another(server: Server) -> None:
    marker = f"marker-{uuid.uuid4()}"
    source = handler("""
        import os
        def handle(data):
            return [sorted(os.listdir("/tmp")), os.environ.get("MARKER")]
        """)
    assert marker in writes_marker(server, marker=marker)
    for name in ("other-one", "other-two"):
        server.deploy("inside", name, source)
        for _ in range(6):
            assert server.call(f"inside/{name}", body={}).json() == [[], None]


def test_a_deleted_function_s_sandboxes_are_gone(server: Server) -> None:
    marker = f"marker-{uuid.uuid4()}"
    source = handler("""
        import subprocess, sys
        def handle(data):
            subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", data["m"]])
            return 1
        """)
    server.deploy("inside", "deleted", source)
    assert server.call("inside/deleted", body={"m": marker}).status == 200
    assert with_argument(marker)
    assert server.cli("function", "delete", "inside/deleted")[0] == 0
    assert wait_until(lambda: not with_argument(marker), 5)


@pytest.mark.case("X15")
def test_X15_many_sandboxes_come_and_go_without_a_trace() -> None:
    # A pool that does not follow the demand, so that the counts can be compared.
    with Server(options=("--pool-size", "4", "--pool-max", "4")) as server:
        come_and_go(server)


def come_and_go(server: Server) -> None:
    source = handler("import os\ndef handle(data):\n    os._exit(1) if data['die'] else None\n    return 1\n")
    server.namespace("inside")
    server.deploy("inside", "dies", source)
    cgroups = Path("/sys/fs/cgroup/memory/casemate") / next(iter(server.instances))

    def counts() -> tuple[int, int, int]:
        warden = server.wardens()
        descriptors = sum(len(list(Path(f"/proc/{process.pid}/fd").iterdir())) for process in warden)
        descriptors += len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        groups = len([entry for entry in cgroups.iterdir() if entry.is_dir()]) if cgroups.exists() else 0
        return len(server.sandboxes()), groups, descriptors

    server.call("inside/dies", body={"die": True})
    time.sleep(2)
    before = counts()
    for _ in range(60):
        assert server.call("inside/dies", body={"die": True}).status == 502
    assert wait_until(lambda: counts()[0] <= before[0] and counts()[1] <= before[1], 8), (before, counts())
    assert counts()[2] <= before[2] + 6, (before, counts())
