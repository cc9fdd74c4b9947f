"""Everything that Orthanc, DCMTK and a node say to each other, inside a private network namespace.

Orthanc listens on every address, so it runs where there is no network but loopback: ``test_orthanc.py``
starts this script under ``unshare -n`` and judges what it writes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "dicom"))

from ward import PATIENT, dicom_object, new_uid, until

import raresight as rs

HTTP, DICOM, NODE, SECURE = 8042, 4242, 11112, 2762
PACS = ("--send-to", f"ORTHANC@127.0.0.1:{DICOM}")
QUIET = 1.0
PLUGINS = "/usr/share/orthanc/plugins"
REST = httpx.Client(base_url=f"http://127.0.0.1:{HTTP}", timeout=20)
SET = "phantom:brain?n=48&anomalies=0.4&difficulty=0&seed=0"
PLAIN = "Plainname"  # without a ^, of which highdicom warns and quotes it
SECRETS = (PLAIN, "Müller", PATIENT, "2.25.", "MODALITY", "19500102")
OUTSIDE = {**os.environ, "TCP_NODELAY": "1"}


class Exchange:
    """One Orthanc and its folder."""

    def __init__(self, work: Path, bundle: Path) -> None:
        self.work, self.bundle = work, bundle
        self.images = rs.load(SET)

    @contextmanager
    def orthanc(self):
        config = self.work / "orthanc.json"
        node = {"raresight": ["RARESIGHT", "127.0.0.1", NODE]}
        base = {"StorageDirectory": str(self.work / "db"), "IndexDirectory": str(self.work / "db")}
        ports = {"HttpPort": HTTP, "DicomPort": DICOM, "DicomAet": "ORTHANC", "Plugins": [PLUGINS]}
        open_ = {"AuthenticationEnabled": False, "RemoteAccessAllowed": True, "DicomModalities": node}
        config.write_text(json.dumps(base | ports | open_))
        with (self.work / "orthanc.log").open("a") as log:
            process = subprocess.Popen(["Orthanc", str(config)], stdout=log, stderr=log)
        try:
            until(lambda: alive("/system"), 30)
            yield process
        finally:
            ended(process)

    @contextmanager
    def node(self, *options: str, spool: str = "spool", port: int = NODE, target: tuple[str, ...] = PACS):
        with (self.work / "node.log").open("a") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "raresight", "listen", str(self.bundle), "--threads", "1"),
                    *("--ae-title", "RARESIGHT", "--port", str(port), "--quiet", str(QUIET)),
                    *("--spool", str(self.work / spool), "--min-free-gigabytes", "0"),
                    *target,
                    *options,
                ],
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: process.poll() is not None or listening(port), 30)
            assert process.poll() is None, "the node ended"
            yield process
        finally:
            ended(process)

    def study(self, count: int, first: int = 0) -> tuple[str, list[Path]]:
        """Write a study's files."""
        uid = new_uid()
        folder = self.work / uid
        folder.mkdir()
        files = []
        for k in range(count):
            pixels = self.images.read((first + k) % 48)
            if k == 0:
                pixels = pixels.astype(np.uint16) * 16
            path = folder / f"{k:03d}.dcm"
            name = {"PatientName": PLAIN} if count == 2 else {}
            dicom_object(pixels, uid, k + 1, **name).save_as(path, enforce_file_format=True)
            files.append(path)
        return uid, files


def alive(path: str) -> bool:
    try:
        return REST.get(path).status_code == 200
    except httpx.HTTPError:
        return False


def listening(port: int) -> bool:
    out = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    return f":{port} " in out


def ended(process: subprocess.Popen) -> int:
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(45)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def storescu(files: list[Path], port: int = NODE, *options: str) -> None:
    command = ["storescu", *options, "-aet", "MODALITY", "-aec", "RARESIGHT", "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, files)], env=OUTSIDE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def echoscu(*options: str, port: int = NODE) -> int:
    command = ["echoscu", *options, "127.0.0.1", str(port)]
    return subprocess.run(command, env=OUTSIDE, capture_output=True).returncode


def find(level: str, **query: str) -> list[dict]:
    answer = REST.post("/tools/find", json={"Level": level, "Query": query, "Expand": True})
    return answer.json()


def results(study: str) -> dict[str, list[str]]:
    """Modality → Orthanc's ids of the instances under a study, images left out."""
    found: dict[str, list[str]] = {}
    for one in find("Series", StudyInstanceUID=study):
        found.setdefault(one["MainDicomTags"]["Modality"], []).extend(one["Instances"])
    return {modality: instances for modality, instances in found.items() if modality != "MR"}


def answered(study: str, reports: int = 1) -> Callable[[], bool]:
    """Results are sent report last: with it, all are there."""
    return lambda: len(results(study).get("SR", [])) >= reports


def file_of(instance: str, folder: Path) -> Path:
    path = folder / f"{instance}.dcm"
    path.write_bytes(REST.get(f"/instances/{instance}/file").content)
    return path


def verified(path: Path) -> list[str]:
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True).stderr
    return [line for line in said.splitlines() if line.startswith("Error")]


def images_in_reports(study: str, folder: Path) -> list[str]:
    """SOP Instance UIDs that the groups for single images refer to, over all reports of a study."""
    import highdicom as hd
    from pydicom import dcmread

    found: list[str] = []
    for instance in results(study).get("SR", []):
        report = hd.sr.Comprehensive3DSR.from_dataset(dcmread(file_of(instance, folder)))
        content = report.content
        for group in content.get_image_measurement_groups():
            if group.tracking_identifier != "study" and not isinstance(group, str):
                found += [image.referenced_sop_instance_uid for image in group.source_images]
        for group in content.get_planar_roi_measurement_groups():
            source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
            found.append(str(source.ReferencedSOPInstanceUID))
    return found


def from_orthanc(exchange: Exchange) -> dict:
    uid, files = exchange.study(4)
    for path in files:
        REST.post("/instances", content=path.read_bytes()).raise_for_status()
    (study,) = find("Study", StudyInstanceUID=uid)
    with exchange.node():
        told = REST.post("/modalities/raresight/store", json={"Resources": [study["ID"]]}, timeout=60)
        told.raise_for_status()
        until(answered(uid), 60)
    under = results(uid)
    errors = {
        kind: [error for one in instances for error in verified(file_of(one, exchange.work))]
        for kind, instances in under.items()
    }
    previews = [REST.get(f"/instances/{one}/preview").status_code for one in under["OT"]]
    (after,) = find("Study", StudyInstanceUID=uid)
    return {
        "counts": {kind: len(instances) for kind, instances in under.items()},
        "errors": errors,
        "previews": previews,
        "patients": len({after["ParentPatient"], study["ParentPatient"]}),
        "images": sorted(images_in_reports(uid, exchange.work)) == sorted(uids(files)),
    }


def from_dcmtk(exchange: Exchange) -> dict:
    uid, files = exchange.study(60)
    with exchange.node():
        echo, wrong = echoscu("-aec", "RARESIGHT"), echoscu("-aec", "NOBODY")
        start = time.monotonic()
        storescu(files)
        sent = time.monotonic()
        until(answered(uid), 90)
        there = time.monotonic()
    return {
        "echo": echo,
        "wrong_title": wrong,
        "counts": {kind: len(instances) for kind, instances in results(uid).items()},
        "objects_per_second": 60 / (sent - start),
        "seconds_to_results": there - sent - QUIET,
        "images": sorted(images_in_reports(uid, exchange.work)) == sorted(uids(files)),
    }


def killed(exchange: Exchange) -> dict:
    """SIGKILL while a study comes in, while it is scored, and while its results are sent."""
    found = {}
    for moment in ("waiting", "scoring", "outbox"):
        spool = exchange.work / f"spool-{moment}"
        uid, files = exchange.study(24)
        with exchange.node(spool=spool.name) as node:
            storescu(files[:12])
            until(lambda spool=spool, moment=moment: any((spool / moment).iterdir()), 30)
            node.send_signal(signal.SIGKILL)
            node.wait()
        left = {name: any((spool / name).iterdir()) for name in ("waiting", "scoring", "outbox")}
        with exchange.node(spool=spool.name):
            storescu(files[12:])
            until(lambda uid=uid: len(images_in_reports(uid, exchange.work)) >= 24, 60)
            until(lambda spool=spool: not any((spool / "outbox").iterdir()), 30)
        found[moment] = {
            "left": left,
            "images": sorted(images_in_reports(uid, exchange.work)) == sorted(uids(files)),
            "reports": len(results(uid)["SR"]),
        }
    return found


def without_pacs(exchange: Exchange) -> dict:
    uid, files = exchange.study(2)
    outbox = exchange.work / "spool-down" / "outbox"
    with exchange.node(spool="spool-down"):
        storescu(files)
        until(lambda: outbox.is_dir() and any(outbox.iterdir()), 30)
        with exchange.orthanc():
            until(answered(uid), 60)
            return {"counts": {kind: len(instances) for kind, instances in results(uid).items()}}


def over_tls(exchange: Exchange) -> dict:
    key, certificate = exchange.work / "key.pem", exchange.work / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=node",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    uid, files = exchange.study(2)
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-ca", str(certificate))
    with exchange.node(*tls, spool="spool-tls", port=SECURE):
        plain = echoscu("-ta", "5", "-td", "5", "-aec", "RARESIGHT", port=SECURE)
        nameless = echoscu("-ta", "5", "+tla", "-ic", "-aec", "RARESIGHT", port=SECURE)
        storescu(files, SECURE, "+tls", str(key), str(certificate), "+cf", str(certificate))
        until(answered(uid), 60)
    return {"plain": plain, "nameless": nameless, "reports": len(results(uid)["SR"])}


def over_dicomweb(exchange: Exchange) -> dict:
    uid, files = exchange.study(3)
    for path in files:
        REST.post("/instances", content=path.read_bytes()).raise_for_status()
    web = f"http://127.0.0.1:{HTTP}/dicom-web"
    fetch = ("--fetch", web, "--query", "Modality=MR", "--query", f"StudyInstanceUID={uid}", "--every", "1")
    with exchange.node(*fetch, spool="spool-web", target=("--dicomweb", web)):
        until(answered(uid), 60)
        time.sleep(3)  # further rounds of fetching find nothing new
    return {
        "counts": {kind: len(instances) for kind, instances in results(uid).items()},
        "images": sorted(images_in_reports(uid, exchange.work)) == sorted(uids(files)),
    }


def stopped(exchange: Exchange) -> dict:
    """SIGTERM in the middle of things: an orderly end."""
    _, files = exchange.study(2)
    with exchange.node(spool="spool-stop") as node:
        storescu(files)
        start = time.monotonic()
        node.terminate()
        status = node.wait(30)
        return {"status": status, "seconds": time.monotonic() - start}


def uids(files: list[Path]) -> list[str]:
    from pydicom import dcmread

    return [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files]


def main(work: Path, bundle: Path) -> None:
    exchange, said = Exchange(work, bundle), {}

    def attempt(part: Callable[[Exchange], dict]) -> None:
        try:
            said[part.__name__] = part(exchange)
        except Exception:
            said[part.__name__] = {"failed": traceback.format_exc()}

    with exchange.orthanc():
        for part in (from_orthanc, from_dcmtk, killed, over_tls, over_dicomweb, stopped):
            attempt(part)
    attempt(without_pacs)
    log = (work / "node.log").read_text()
    said["log"] = {"lines": log.count("\n"), "secrets": [one for one in SECRETS if one in log]}
    (work / "said.json").write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
