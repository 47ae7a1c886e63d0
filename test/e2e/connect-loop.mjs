// Connects to 127.0.0.1:PORT over and over until standard input ends, then prints {tries, connected, refused: {CODE: n}}.
import { connect } from 'node:net';

const port = Number(process.argv[2]);
const refused = {};
let tries = 0;
let connected = 0;
let stopped = false;
process.stdin.on('end', () => {
  stopped = true;
});
process.stdin.resume();
console.log('looping');

function again() {
  if (stopped) {
    console.log(JSON.stringify({ tries, connected, refused }));
    process.exit(0);
  }
  tries++;
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('connect', () => {
    connected++;
    socket.resetAndDestroy();
  });
  socket.on('error', (error) => {
    refused[error.code] = (refused[error.code] ?? 0) + 1;
  });
  socket.on('close', () => setImmediate(again));
}
again();
