#!/bin/sh
# Installs Postern from this checkout (or unpacked release) on this host, as a systemd service. Run again to upgrade.
# The whole script is a function called on its last line: a truncated copy does nothing.
set -eu

usage() {
  cat <<'END'
Usage: ./install.sh [--server|--agent] [--no-start] [--dry-run]
       ./install.sh --uninstall [--purge] [--yes] [--dry-run]

  (neither)     standalone: server with its own database, and agent, in one service (postern.service)
  --server      the control plane alone (postern-server.service)
  --agent       the agent alone (postern-agent.service)
  --no-start    install, do not enable or start
  --uninstall   stop, take every program out of the kernel (traffic is open then), remove what was installed
  --purge       with --uninstall: also the state in /var/lib/postern and the settings in /etc/postern
  --yes         do not ask
  --dry-run     print what would be done, do nothing

Installs to /usr/lib/postern, /usr/bin/postern and /etc/systemd/system. Settings in /etc/postern are never overwritten.
END
}

main() {
  here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
  target=/usr/lib/postern
  unit=postern command=standalone
  start=yes action=install purge=no yes=no dry=no
  while [ $# -gt 0 ]; do
    case $1 in
      --server) unit=postern-server command=server ;;
      --agent) unit=postern-agent command=agent ;;
      --no-start) start=no ;;
      --uninstall) action=uninstall ;;
      --purge) purge=yes ;;
      --yes | -y) yes=yes ;;
      --dry-run) dry=yes ;;
      --help | -h) usage; exit 0 ;;
      *) echo "install.sh: unknown option \"$1\"" >&2; usage >&2; exit 2 ;;
    esac
    shift
  done
  [ "$dry" = yes ] || [ "$(id -u)" = 0 ] || fail 'must be root: sudo ./install.sh'
  $action
}

install() {
  preflight
  [ "$here" != "$target" ] || fail "this is the installed copy; run install.sh of the new version's folder"
  say "copy to $target"
  do_ rm -rf "$target.new"
  do_ mkdir -p "$target.new"
  # node_modules is left out: the packages come anew, without those for development.
  for part in postern package.json package-lock.json .npmrc src migrations bpf build scripts systemd install.sh LICENSE README.md CHANGELOG.md; do
    [ ! -e "$here/$part" ] || do_ cp -a "$here/$part" "$target.new/"
  done
  do_ chown -R root:root "$target.new"
  say 'packages and BPF object'
  do_ node "$target.new/scripts/bootstrap.mjs" install
  say 'swap in'
  do_ rm -rf "$target.old"
  [ ! -e "$target" ] || do_ mv "$target" "$target.old"
  do_ mv "$target.new" "$target"
  do_ rm -rf "$target.old"
  do_ ln -sfn "$target/postern" /usr/bin/postern
  do_ mkdir -p /etc/postern
  units
}

units() {
  say 'user, folders and units'
  do_ mkdir -p /etc/sysusers.d /etc/tmpfiles.d
  do_ cp "$target/systemd/postern.sysusers" /etc/sysusers.d/postern.conf
  do_ cp "$target/systemd/postern.tmpfiles" /etc/tmpfiles.d/postern.conf
  for name in postern postern-server postern-agent; do do_ cp "$target/systemd/$name.service" /etc/systemd/system/; done
  if ! have_systemd; then
    say "no systemd here: start it with \"postern $command\" from your own supervisor"
    return
  fi
  do_ systemd-sysusers /etc/sysusers.d/postern.conf
  do_ systemd-tmpfiles --create /etc/tmpfiles.d/postern.conf
  do_ systemctl daemon-reload
  [ "$start" = yes ] || { say "installed; start it with: systemctl enable --now $unit"; return; }
  do_ systemctl enable "$unit.service"
  do_ systemctl restart "$unit.service"
  say 'running; next: postern status'
}

uninstall() {
  [ -e "$target" ] || [ -e /etc/systemd/system/postern.service ] || fail 'is not installed here'
  confirm "Remove Postern from this host? Its policies are no longer enforced afterwards: traffic is open$([ $purge = no ] || echo '; ALL STATE IS DELETED')."
  if have_systemd; then
    for name in postern postern-agent postern-server; do
      [ ! -e "/etc/systemd/system/$name.service" ] || do_ systemctl disable --now "$name.service"
    done
  fi
  # Pinned programs go on without a process; only this takes them out.
  [ ! -x "$target/postern" ] || do_ "$target/postern" agent detach --yes || say 'detach failed: what is left is in /sys/fs/bpf/postern'
  do_ rm -rf "$target" "$target.new" "$target.old" /etc/sysusers.d/postern.conf /etc/tmpfiles.d/postern.conf
  do_ rm -f /usr/bin/postern /etc/systemd/system/postern.service /etc/systemd/system/postern-agent.service /etc/systemd/system/postern-server.service
  ! have_systemd || do_ systemctl daemon-reload
  if [ $purge = yes ]; then do_ rm -rf /var/lib/postern /etc/postern /run/postern; else say 'kept: /var/lib/postern and /etc/postern (--purge removes them)'; fi
}

preflight() {
  case $(uname -m) in x86_64 | aarch64 | arm64) ;; *) fail "no packages for $(uname -m): x86_64 and aarch64 are supported" ;; esac
  command -v node >/dev/null && command -v npm >/dev/null || fail 'needs Node >= 20 and npm to install: apt-get install nodejs npm (or from nodejs.org)'
  [ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || fail "needs Node >= 20 to install, this is $(node --version)"
  [ -e /sys/kernel/btf/vmlinux ] || [ $unit = postern-server ] || say 'warning: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF); the agent cannot enforce on it'
}

confirm() {
  [ $yes = no ] && [ $dry = no ] || return 0
  [ -t 0 ] || fail 'asks before it removes anything, and there is no terminal: add --yes'
  printf '%s [y/N] ' "$1"
  read -r answer
  case $answer in y | Y | yes) ;; *) fail 'nothing changed' ;; esac
}

have_systemd() { [ -d /run/systemd/system ]; }
say() { echo "postern: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
do_() { if [ "$dry" = yes ]; then echo "  would: $*"; else "$@"; fi; }

main "$@"
