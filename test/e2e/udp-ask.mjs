// Sends one datagram to ADDRESS PORT and prints the answer, or the error's code. A third word `connected` connects the
// socket first. Ends on the first of both; whoever runs it decides how long silence is silence.
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';

const [address, port, how] = process.argv.slice(2);
const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
const end = (text) => {
  console.log(text);
  process.exit(0);
};
socket.on('error', (error) => end(error.code));
socket.on('message', (text) => end(String(text)));
const sent = (error) => error && end(error.code);
if (how === 'connected')
  socket.connect(Number(port), address, (error) => (error ? end(error.code) : socket.send('hello', sent)));
else socket.send('hello', Number(port), address, sent);
