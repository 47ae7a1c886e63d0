# A network of its own, joined to the host's in user space: usernet.sh slirp4netns|pasta EGRESS TAG ADDRESS... Says hello to each
# address, prints READY, reads a line, and sends TAG to each address by UDP and TCP, from inside.
how=$1
shift
exec 3<&0
inside='
  echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
  until ip -4 route show default | grep -q dev && ip -6 route show default | grep -q dev && ip -6 addr show scope global | grep -q inet6
  do sleep 0.05; done
  egress=$1 tag=$2
  shift 2
  for address; do "$egress" udp "$address" "$address" TAG-before; done # neighbours are known
  echo READY
  read go
  for address; do for kind in udp tcp; do "$egress" $kind "$address" "$address" "$tag"; done; done'
if [ "$how" = pasta ]; then
  exec pasta -f --no-map-gw --config-net -- sh -c "$inside" sh "$@" # without its device it leaves a child behind
fi
unshare -Urn sh -c "$inside" sh "$@" <&3 &
child=$!
until [ "$(readlink /proc/$child/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
slirp4netns -6 -c $child tap0 > /dev/null &
network=$!
while kill -0 $child && kill -0 $network; do sleep 0.05; done 2> /dev/null
kill $child $network 2> /dev/null
wait
