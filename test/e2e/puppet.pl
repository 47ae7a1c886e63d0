# A process that opens sockets as it is told, one command a line on stdin, one answer a line on stdout:
#   listen tcp|udp ADDRESS PORT       ok            answers "hello" to whoever comes
#   tcp|udp FROM ADDRESS PORT MS      echo, EPERM, silence, or the error; FROM "-" = any
#   icmp FROM ADDRESS TYPE ID         sent, EPERM   one message on a raw socket
#   raw ADDRESS PROTOCOL           sent, EPERM   some bytes of an IPv4 protocol
#   hear 4|6                          ok            listens for ICMP
#   heard TYPE ID MS                  yes, no
use strict;
use warnings;
use Socket qw(:all);
use Errno qw(EPERM EINPROGRESS);
use Time::HiRes qw(time);
$| = 1;
my (%listening, %udp, @heard, %ears);

sub family { return $_[0] =~ /:/ ? AF_INET6 : AF_INET }
sub place {
  my ($address, $port) = @_;
  return family($address) == AF_INET6
    ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : pack_sockaddr_in($port, inet_aton($address));
}
sub word { return $!{EPERM} ? 'EPERM' : "$!" }

sub serve {    # whatever is readable, for at most some seconds
  my ($wait, $also) = @_;
  my $bits = '';
  vec($bits, fileno($_), 1) = 1 for values(%listening), values(%udp), values(%ears), @$also;
  my $n = select($bits, undef, undef, $wait);
  return '' if !$n || $n < 0;
  for my $s (values %listening) {
    next unless vec($bits, fileno($s), 1);
    if (accept(my $peer, $s)) { syswrite($peer, "hello\n"); close($peer) }
  }
  for my $s (values %udp) {
    next unless vec($bits, fileno($s), 1);
    my $from = recv($s, my $data, 1500, 0);
    send($s, "hello\n", 0, $from) if defined $from;
  }
  for my $f (keys %ears) {
    my $s = $ears{$f};
    next unless vec($bits, fileno($s), 1);
    recv($s, my $data, 1500, 0);
    my $icmp = $f eq '4' ? substr($data, (ord($data) & 15) * 4) : $data;
    my ($type, $id) = unpack('C x3 n', $icmp);
    push @heard, "$type $id";
  }
  return $bits;
}

sub opened {
  my ($kind, $from, $address) = @_;
  socket(my $s, family($address), $kind, 0) or return undef;
  bind($s, place($from, 0)) or return undef if $from ne '-';
  return $s;
}

sub ask_tcp {
  my ($from, $address, $port, $ms) = @_;
  my $s = opened(SOCK_STREAM, $from, $address) or return word();
  $s->blocking(0);
  connect($s, place($address, $port)) or $!{EINPROGRESS} or return word();
  return answer($s, $ms);
}

sub ask_udp {
  my ($from, $address, $port, $ms) = @_;
  my $s = opened(SOCK_DGRAM, $from, $address) or return word();
  defined send($s, "hello\n", 0, place($address, $port)) or return word();
  return answer($s, $ms);
}

sub answer {
  my ($s, $ms) = @_;
  my $end = time() + $ms / 1000;
  while (time() < $end) {
    my $bits = serve($end - time(), [$s]);
    next unless $bits ne '' && vec($bits, fileno($s), 1);
    my $n = sysread($s, my $data, 100);
    return defined $n ? ($n > 0 ? 'echo' : 'closed') : word();
  }
  return 'silence';
}

sub send_icmp {
  my ($from, $address, $type, $id) = @_;
  my $six = family($address) == AF_INET6;
  socket(my $s, family($address), SOCK_RAW, $six ? 58 : 1) or return word();
  bind($s, place($from, 0)) or return word() if $from ne '-';
  my $p = pack('C2 n3', $type, 0, 0, $id, 1) . "\0" x 12;    # IPv6: the kernel makes the checksum
  my $sum = 0;
  $sum += $_ for unpack('n*', $p);
  $sum = ($sum & 0xffff) + ($sum >> 16);
  substr($p, 2, 2) = pack('n', ~$sum & 0xffff) unless $six;
  return defined send($s, $p, 0, place($address, 0)) ? 'sent' : word();
}

sub send_raw {
  my ($address, $protocol) = @_;
  socket(my $s, AF_INET, SOCK_RAW, $protocol) or return word();
  return defined send($s, "\0" x 20, 0, place($address, 0)) ? 'sent' : word();
}

sub heard {
  my ($type, $id, $ms) = @_;
  my $end = time() + $ms / 1000;
  for (;;) {
    return 'yes' if grep { $_ eq "$type $id" } @heard;
    return 'no' if time() >= $end;
    serve($end - time(), []);
  }
}

sub listen_at {
  my ($protocol, $address, $port) = @_;
  my $tcp = $protocol eq 'tcp';
  socket(my $s, family($address), $tcp ? SOCK_STREAM : SOCK_DGRAM, 0) or return word();
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, place($address, $port)) or return word();
  listen($s, 50) or return word() if $tcp;
  ($tcp ? \%listening : \%udp)->{"$address $port"} = $s;
  return 'ok';
}

sub hear {
  my ($f) = @_;
  socket(my $s, $f eq '6' ? AF_INET6 : AF_INET, SOCK_RAW, $f eq '6' ? 58 : 1) or return word();
  $ears{$f} = $s;
  return 'ok';
}

require IO::Handle;
my $buffer = '';
for (;;) {
  my $bits = serve(60, [\*STDIN]);
  next unless $bits ne '' && vec($bits, fileno(STDIN), 1);
  sysread(STDIN, $buffer, 4096, length $buffer) or exit 0;
  while ($buffer =~ s/^(.*)\n//) {
    my ($what, @words) = split / /, $1;
    my $run = { listen => \&listen_at, tcp => \&ask_tcp, udp => \&ask_udp, icmp => \&send_icmp, raw => \&send_raw, hear => \&hear, heard => \&heard };
    print $run->{$what}->(@words), "\n";
  }
}
