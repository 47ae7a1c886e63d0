// Echoes on every tcp:PORT and udp:PORT given, on all addresses of both families; prints `ready`, then one line per
// accepted connection (`tcp PORT from ADDRESS`) and per datagram (`udp PORT from ADDRESS`).
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** undefined = it has hung up already. */
const plain = (address) => address?.replace(/^::ffff:/, '');
await Promise.all(
  process.argv.slice(2).map((word) => {
    const [protocol, port] = word.split(':');
    return new Promise((resolve) => {
      if (protocol === 'udp') {
        const socket = createSocket('udp6');
        socket.on('message', (text, from) => {
          console.log(`udp ${port} from ${plain(from.address)}`);
          socket.send(text, from.port, from.address, () => {});
        });
        socket.bind(Number(port), resolve);
      } else {
        const server = createServer((connection) => {
          console.log(`tcp ${port} from ${plain(connection.remoteAddress)}`);
          connection.on('error', () => {});
          connection.pipe(connection);
        });
        server.listen(Number(port), resolve);
      }
    });
  }),
);
console.log('ready');
