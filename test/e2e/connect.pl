# connect.pl ADDRESS PORT [nonblocking] [from PORT]: prints `connected`, or the name of the error; with `nonblocking` of the
# first answer, and then of the end. Ends with the connection's first line, when there is one.
use strict;
use warnings;
use Errno ();
use IO::Select;
use Socket qw(:all);

my ($address, $port, @words) = @ARGV;
my %words = map { $_ => 1 } @words;
my ($from) = map { $words[$_ + 1] } grep { $words[$_] eq 'from' } 0 .. $#words;
$| = 1;
my ($error, $to) = getaddrinfo($address, $port, {flags => AI_NUMERICHOST, socktype => SOCK_STREAM});
die $error if $error;
socket(my $s, $to->{family}, SOCK_STREAM, 0) or die $!;
if (defined $from) {
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die $!;
  my $any = $to->{family} == AF_INET ? pack_sockaddr_in($from, INADDR_ANY) : pack_sockaddr_in6($from, IN6ADDR_ANY);
  bind($s, $any) or die $!;
}
$s->blocking(0) if $words{nonblocking};
my $ok = connect($s, $to->{addr});
if (!$ok && $!{EINPROGRESS}) {
  print "EINPROGRESS\n";
  IO::Select->new($s)->can_write();
  $! = unpack('i', getsockopt($s, SOL_SOCKET, SO_ERROR));
  $ok = $! == 0;
}
if (!$ok) {
  print((grep { $!{$_} } qw(EPERM ECONNREFUSED ETIMEDOUT ECONNABORTED EHOSTUNREACH ENETUNREACH))[0] // $!, "\n");
  exit 0;
}
print "connected\n";
