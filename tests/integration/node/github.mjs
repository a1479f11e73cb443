// GitHub's web flow, emulated: `emulate` answers as GitHub does (errors with status 200, numeric ids, null e-mails).
//
// Prints "ready ORIGIN CONTROL" once both listen; ends when its standard input is closed. CONTROL answers
//   POST /_test/clients   {"client_id", "client_secret", "redirect_uris"}: registers an OAuth app; codes and tokens
//                         given out before are forgotten
// To be started with `--require ./emulate_loopback.cjs`, because emulate listens on all interfaces.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { createEmulator } from 'emulate';

const seed = {
  github: {
    users: [
      { login: 'octocat', name: 'The Octocat', email: 'octocat@github.example' },
      { login: 'hidden', name: null, email: null },
    ],
    oauth_apps: [
      { client_id: 'unused', client_secret: 'unused', name: 'Unused', redirect_uris: ['http://127.0.0.1/unused'] },
    ],
  },
};

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
const github = await createEmulator({ service: 'github', port, baseUrl: origin, seed });

const control = createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const wanted = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const apps = seed.github.oauth_apps.filter((app) => app.client_id !== wanted.client_id);
  seed.github.oauth_apps.splice(0, Infinity, ...apps, { name: wanted.client_id, ...wanted });
  github.reset();
  res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
}).listen(0);
await once(control, 'listening');

console.log(`ready ${origin} http://localhost:${control.address().port}`);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
