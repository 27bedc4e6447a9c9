#!/usr/bin/env bash
# A newcomer's first hour, tried: a minimal Debian with Python, venv, git and make and nothing else, an ordinary user,
# a clone of this repository's HEAD, and what the README says to type. Prints what each step took.
#
#   sudo tests/bare/machine.sh SUITE [COMMAND...]      SUITE: bookworm (Debian 12, Python 3.11), trixie (13, 3.13)
#
# Without a COMMAND: make demo, then make test. Each COMMAND is one line for the user's shell, in the clone. Needs root,
# debootstrap and unshare. What this machine needs to reach packages (apt's sources of the same kind, certificates added
# to the system, pip's settings, proxies) is copied into the new root; the root is removed at the end. Exit code: that
# of the first command that failed.
set -euo pipefail
suite=${1:?usage: machine.sh bookworm|trixie [COMMAND...]}
shift
[ $# -gt 0 ] || set -- "make demo" "make test"
repository=$(cd "$(dirname "$0")/../.." && pwd)
mirror=${MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 || true)}
mirror=${mirror:-http://deb.debian.org/debian}
packages=python3,python3-venv,git,make
if [ -z "${BARE_MOUNTS:-}" ]; then # mounts and processes of its own: both are gone when this ends, however it ends
  export BARE_MOUNTS=1
  exec unshare --mount --pid --fork --kill-child --propagation private -- "$0" "$suite" "$@"
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/bare-$suite-XXXXXX")
trap 'mountpoint -q "$root/proc" && umount -R --lazy "$root/proc" "$root/dev"; rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root"
step() { # step NAME COMMAND...: runs it, says how long it took
  local name=$1 begun=$SECONDS code=0
  shift
  "$@" || code=$?
  printf '== %s: %s: %s after %d s\n' "$suite" "$name" "$([ $code = 0 ] && echo ok || echo "FAILED ($code)")" $((SECONDS - begun))
  return $code
}

step "debootstrap $packages from $mirror" \
  debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
  { tail -5 "$root.log"; exit 1; }
tail -1 "$root.log"
rm -f "$root.log"
if compgen -G "/usr/local/share/ca-certificates/*.crt" >/dev/null; then
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
  chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
for file in /etc/pip.conf /etc/resolv.conf; do
  [ ! -e "$file" ] || cp -L "$file" "$root$file"
done
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir -p "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
chroot "$root" useradd --create-home --shell /bin/bash newcomer
git clone --quiet --no-hardlinks "file://$repository" "$root/home/newcomer/maas-api"
chroot "$root" chown -R newcomer:newcomer /home/newcomer/maas-api

environment=(HOME=/home/newcomer USER=newcomer PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb)
while IFS='=' read -r name value; do # how packages are reached; no certificate: the system's count
  case ${name,,} in
  pip_cert) ;;
  pip_* | http_proxy | https_proxy | all_proxy | no_proxy) environment+=("$name=$value") ;;
  esac
done < <(env)
as_user() {
  chroot --userspec=newcomer:newcomer "$root" env -i "${environment[@]}" bash -c "cd ~/maas-api && $1"
}
printf '== %s: %s, %s, %s packages, as an ordinary user\n' "$suite" "$(chroot "$root" cat /etc/debian_version)" \
  "$(chroot "$root" python3 --version)" "$(chroot "$root" dpkg-query -f '.\n' -W | wc -l)"
worst=0
for command in "$@"; do
  code=0
  step "$command" as_user "$command" || code=$?
  [ $worst != 0 ] || worst=$code
done
printf '== %s: .venv takes %s\n' "$suite" "$(du -sh "$root/home/newcomer/maas-api/.venv" | cut -f1)"
exit $worst
