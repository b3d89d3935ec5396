"""A small virtual machine whose kernel has control groups v2 only, like most hosts; the test host may differ.

qemu emulates it, without KVM. It boots Debian's cloud kernel from an initramfs of our own, sees this machine's files
read-only under a layer in memory, and runs one shell command as root. What that needs is installed when it is missing.
"""

import gzip
import io
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = ("qemu-system-x86", "qemu-system-common", "busybox-static", "cpio")
KERNEL = "linux-image-cloud-amd64"
MODULES = (
    *("drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev"),
    *("drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci"),
    *("fs/fuse/fuse", "fs/fuse/virtiofs", "fs/overlayfs/overlay"),
)
MEMORY = "1024M"
BOOT_SECONDS = 300
STARTED, ENDED = "GUEST-STARTED", "GUEST-ENDED"

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /host /layer /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {" ".join(Path(module).name for module in MODULES)}; do insmod /modules/$module.ko; done
mount -t virtiofs -o ro host /host
mount -t tmpfs layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mount -t cgroup2 cgroup /root/sys/fs/cgroup
mkdir -p /root/dev/pts /root/dev/shm
mount -t tmpfs none /root/dev/shm
cp /command /root/command
ip link set lo up
exec switch_root /root /bin/sh -c 'echo {STARTED}; /bin/sh /command; echo {ENDED}; /bin/busybox poweroff -f'
"""


def run(command: str) -> str:
    """Run a shell command in the machine and return its output; the machine has stopped by then."""
    _install()
    folder = Path(tempfile.mkdtemp(prefix="ac-guest-", dir="/tmp"))
    try:
        image, modules = _kernel(folder)
        _initramfs(folder, modules, command)
        output = _boot(folder, image)
    finally:
        shutil.rmtree(folder)
    started, _, rest = output.partition(f"{STARTED}\n")
    assert started != output, f"the machine did not start: {output[-2000:]}"
    printed, _, rest = rest.partition(ENDED)
    assert rest, f"the machine was stopped: {printed[-2000:]}"
    return printed


def _install() -> None:
    if not all(shutil.which(tool) for tool in ("qemu-system-x86_64", "busybox", "cpio")):
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(install, check=True, capture_output=True)


def _kernel(folder: Path) -> tuple[Path, Path]:
    """Debian's cloud kernel and its modules, unpacked in `folder` so that this host's boot files do not change."""
    dependencies = subprocess.run(
        ["apt-cache", "depends", KERNEL], check=True, capture_output=True, text=True
    )
    package = next(
        word for word in dependencies.stdout.split() if word.startswith("linux-image-") and word != KERNEL
    )
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
    subprocess.run(["dpkg", "-x", *folder.glob("*.deb"), folder / "kernel"], check=True)
    [image] = (folder / "kernel/boot").glob("vmlinuz-*")
    [modules] = (folder / "kernel/lib/modules").iterdir()
    return image, modules / "kernel"


def _initramfs(folder: Path, modules: Path, command: str) -> None:
    root = folder / "initramfs"
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin/busybox")
    for module in MODULES:
        shutil.copy(modules / f"{module}.ko", root / "modules")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    (root / "command").write_text(command)
    names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(), check=True, capture_output=True
    )
    with gzip.open(folder / "initramfs.gz", "wb", compresslevel=1) as file:
        shutil.copyfileobj(io.BytesIO(packed.stdout), file)


def _boot(folder: Path, image: Path) -> str:
    socket = folder / "files.sock"
    files = subprocess.Popen(
        ["/usr/lib/qemu/virtiofsd", f"--socket-path={socket}", "-o", "source=/,cache=always,sandbox=chroot"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    machine = [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", MEMORY, "-smp", "1", "-nographic", "-no-reboot"),
        *("-kernel", str(image), "-initrd", str(folder / "initramfs.gz")),
        *("-append", "console=ttyS0 quiet panic=-1"),
        *("-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on", "-numa", "node,memdev=memory"),
        *("-chardev", f"socket,id=files,path={socket},reconnect=0"),
        *("-device", "vhost-user-fs-pci,chardev=files,tag=host", "-nic", "none"),
    ]
    try:
        while not socket.exists():
            assert files.poll() is None, "virtiofsd has ended"
        done = subprocess.run(
            machine, stdin=subprocess.DEVNULL, capture_output=True, timeout=BOOT_SECONDS, check=False
        )
        return done.stdout.decode(errors="replace").replace("\r\n", "\n")
    finally:
        files.kill()
        files.wait()
