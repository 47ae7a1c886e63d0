#!/bin/sh
# Boots the Debian in $1 as PID 1 of namespaces of its own; its cgroup root is the cgroup directory $2.
# The tree stays as it is: /etc and /var are overlays, what else is written to are tmpfs.
set -e
echo $$ > "$2/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --ipc --uts --net --cgroup sh -ec '
mount --make-rprivate /
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
cd "$0"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run dev tmp root home srv media; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
chmod 1777 tmp
for folder in etc var; do
  mkdir "media/$folder" "media/$folder.work"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=media/$folder,workdir=media/$folder.work" "$folder"
done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620,gid=5
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for device in null zero full random urandom tty; do cp -a "/dev/$device" dev/; done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname legacy
echo legacy > etc/hostname
echo 127.0.0.1 localhost legacy > etc/hosts
pivot_root . mnt
umount -l /mnt
exec env -i container=postern-test TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --show-status=no --unit=multi-user.target
' "$1"
