// One service of `emulate`: it answers as GitHub, Google and others do (errors with status 200, numeric ids, null e-mails).
//
// Arguments: the service, its seed as JSON, and the member of the seed that holds its clients. Prints "ready ORIGIN
// CONTROL" once both listen; ends when its standard input is closed. CONTROL answers
//   POST /_test/clients   {"client_id", ...}: registers a client, or replaces the one of this id; codes and tokens given
//                         out before are forgotten
// To be started with `--require ./emulate_loopback.cjs`, because emulate listens on all interfaces.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { createEmulator } from 'emulate';

const [service, seedText, member] = process.argv.slice(2);
const seed = JSON.parse(seedText);
// Without any client it would serve everybody.
const clients = (seed[member] = [
  { client_id: 'unused', client_secret: 'unused', name: 'Unused', redirect_uris: ['http://127.0.0.1/unused'] },
]);

async function freePort() {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const port = await freePort();
const origin = `http://localhost:${port}`;
const emulator = await createEmulator({ service, port, baseUrl: origin, seed: { [service]: seed } });

const control = createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const wanted = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const others = clients.filter((client) => client.client_id !== wanted.client_id);
  clients.splice(0, Infinity, ...others, { name: wanted.client_id, ...wanted });
  emulator.reset();
  res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
}).listen(0);
await once(control, 'listening');

console.log(`ready ${origin} http://localhost:${control.address().port}`);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
