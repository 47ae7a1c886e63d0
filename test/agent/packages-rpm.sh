#!/bin/sh
# A host with RPM packages and no dpkg: the Debian tree $1 with an rpm database, where RPM has it, in mounts of its own at $2; the
# repository $3 at /repo. Then runs what follows, inside.
set -e
tree=$1 place=$2 repo=$3
shift 3
mount --make-rprivate /
mount -t tmpfs tmpfs "$place"
mkdir "$place/up" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$place/up,workdir=$place/work" "$place/root"
mkdir "$place/root/repo" "$place/root/etc/rpm"
mount --bind "$repo" "$place/root/repo"
for folder in proc dev; do mount --rbind "/$folder" "$place/root/$folder"; done
mount -t tmpfs tmpfs "$place/root/var/lib/dpkg"
echo '%_dbpath /var/lib/rpm' > "$place/root/etc/rpm/macros"
chroot "$place/root" sh -e <<'END'
export HOME=/root
for name in ship ship-compat ship-late; do
  cat > "/root/$name.spec" <<SPEC
Name: $name
Version: 1
Release: 1
Summary: of a test
License: none
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/opt/ship
[ $name = ship-late ] || echo same > %{buildroot}/opt/ship/both
echo $name > "%{buildroot}/opt/ship/$name"
%files
$([ $name = ship-late ] || echo /opt/ship/both)
"/opt/ship/$name"
SPEC
  rpmbuild --quiet -bb "/root/$name.spec" 2> /root/build.log || { cat /root/build.log; exit 1; }
done
rpm -i /root/rpmbuild/RPMS/noarch/ship-1-1.noarch.rpm /root/rpmbuild/RPMS/noarch/ship-compat-1-1.noarch.rpm 2> /dev/null
rm /opt/ship/ship-compat
END
exec chroot "$place/root" "$@"
