// A certified OpenID provider for the integration tests: everything in memory, loopback only.
//
// Prints one line, "ready ISSUER", once it listens; ends when its standard input is closed, so that it never
// outlives the tests. Beside the provider's own endpoints it answers
//   POST   /_test/clients    one client's metadata: registers it, or replaces the one with the same client_id
//   POST   /_test/accounts   {"login": ..., "claims": {"sub": ..., ...}, "password": ...}
//   GET    /_test/requests   what the provider was asked, oldest first;  DELETE forgets it
// Two client properties are ours: claims_in_id_token (profile, email, ... claims stand in the ID token and not
// only in userinfo) and pkce_optional.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';
import instance from 'oidc-provider/lib/helpers/weak_cache.js';

const host = process.env.PROVIDER_HOST ?? 'localhost';
const port = Number(process.env.PROVIDER_PORT ?? 0);

const clients = new Map();
const accounts = new Map();
const requests = [];

class Adapter extends MemoryAdapter {
  async find(id) {
    return this.model === 'Client' ? clients.get(id) : super.find(id);
  }
}

function signingKey(kid, type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

function addAccount({ login, claims, password = 'secret' }) {
  accounts.set(login, { claims, password });
}

function accountOf(sub) {
  return [...accounts.values()].find((account) => account.claims.sub === sub);
}

const escape = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const html = (title, body) => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title></head>
<body><h1>${escape(title)}</h1>
${body}
</body></html>`;

const configuration = {
  adapter: Adapter,
  jwks: {
    keys: [
      signingKey('rsa-1', 'rsa', { modulusLength: 2048 }, 'RS256'),
      signingKey('ec-1', 'ec', { namedCurve: 'P-256' }, 'ES256'),
    ],
  },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  async findAccount(ctx, sub) {
    const account = accountOf(sub);
    return account && { accountId: sub, claims: async () => account.claims };
  },
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'updated_at'],
    email: ['email', 'email_verified'],
    phone: ['phone_number', 'phone_number_verified'],
    groups: ['groups', 'realm_access', 'https://acme.example/roles'],
  },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'phone', 'groups'],
  acrValues: ['urn:acme:password', 'urn:acme:two-factors'],
  extraClientMetadata: { properties: ['claims_in_id_token', 'pkce_optional'], validator() {} },
  enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] },
  pkce: { required: (ctx, client) => !client.pkce_optional },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  renderError(ctx, out) {
    ctx.type = 'html';
    const lines = Object.entries(out).map(([key, value]) => `<p>${escape(key)}: ${escape(value)}</p>`);
    ctx.body = html('Provider error', lines.join('\n'));
  },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource(ctx, form) {
        const buttons = '<button name="logout" value="yes">Sign out</button><button>Stay signed in</button></form>';
        ctx.body = html('Sign out at the provider?', form.replace('</form>', buttons));
      },
      postLogoutSuccessSource(ctx) {
        ctx.body = html('Signed out at the provider', '');
      },
    },
  },
};

async function bodyOf(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function answer(res, status, body, type = 'text/html; charset=utf-8') {
  res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  res.end(body);
}

async function control(provider, req, res, path) {
  const json = (status, value) => answer(res, status, JSON.stringify(value), 'application/json');
  switch (`${req.method} ${path}`) {
    case 'POST /_test/clients': {
      const metadata = JSON.parse(await bodyOf(req));
      clients.set(metadata.client_id, metadata);
      try {
        await provider.Client.find(metadata.client_id);
      } catch (error) {
        clients.delete(metadata.client_id);
        return json(400, { error: error.error_description ?? error.message });
      }
      return json(200, {});
    }
    case 'POST /_test/accounts':
      addAccount(JSON.parse(await bodyOf(req)));
      return json(200, {});
    case 'GET /_test/requests':
      return json(200, requests);
    case 'DELETE /_test/requests':
      requests.length = 0;
      return json(200, {});
    default:
      return json(404, { error: 'no such control' });
  }
}

function loginPage(details, message = '') {
  const hint = escape(details.params.login_hint ?? '');
  return html('Sign in at the provider', `<p>${escape(message)}</p>
<form method="post">
<label>Login <input name="login" value="${hint}" autofocus></label>
<label>Password <input name="password" type="password"></label>
<button name="action" value="login">Sign in</button>
<button name="action" value="abort">Cancel</button>
</form>`);
}

function consentPage(details) {
  return html('Consent', `<p>${escape(details.params.client_id)} asks for: ${escape(details.params.scope ?? '')}</p>
<form method="post">
<button name="action" value="consent">Allow</button>
<button name="action" value="abort">Deny</button>
</form>`);
}

async function consentTo(provider, details) {
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = details.prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [indicator, scopes] of Object.entries(missingResourceScopes ?? {})) {
    grant.addResourceScope(indicator, scopes.join(' '));
  }
  const grantId = await grant.save();
  return { consent: details.grantId ? {} : { grantId } };
}

async function interaction(provider, req, res) {
  const details = await provider.interactionDetails(req, res);
  if (req.method === 'GET') {
    return answer(res, 200, details.prompt.name === 'login' ? loginPage(details) : consentPage(details));
  }
  const form = new URLSearchParams(await bodyOf(req));
  let result;
  if (form.get('action') === 'abort') {
    result = { error: 'access_denied', error_description: 'The person said no' };
  } else if (details.prompt.name === 'login') {
    const account = accounts.get(form.get('login'));
    if (!account || account.password !== form.get('password')) {
      return answer(res, 401, loginPage(details, 'Unknown login or wrong password.'));
    }
    result = { login: { accountId: account.claims.sub, acr: 'urn:acme:password', amr: ['pwd'] } };
  } else {
    result = await consentTo(provider, details);
  }
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: !result.error });
}

addAccount({
  login: 'jane',
  claims: {
    sub: 'u-jane',
    preferred_username: 'jane',
    name: 'Jane Roe',
    email: 'jane@example.com',
    email_verified: true,
    phone_number: '+49 30 1234567',
    groups: ['staff', 'admins'],
    realm_access: { roles: ['editor', 'viewer'] },
    'https://acme.example/roles': ['acme-admin'],
  },
});
addAccount({
  login: 'zoë',
  claims: {
    sub: 'u-zoe',
    preferred_username: 'zoë',
    name: 'Zoë Łukasz 山田',
    email: 'zoe@example.org',
    email_verified: false,
    groups: ['staff'],
  },
});
// Somebody of whom the provider knows next to nothing.
addAccount({ login: 'nobody', claims: { sub: 'u-nobody' } });

const server = createServer();
server.listen(port, '127.0.0.1', () => {
  const issuer = `http://${host}:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  Object.defineProperty(instance(provider).configuration, 'conformIdTokenClaims', {
    get: () => !Provider.ctx?.oidc?.client?.claims_in_id_token,
  });
  provider.use(async (ctx, next) => {
    const entry = { method: ctx.method, path: ctx.path, query: { ...ctx.query }, authorization: ctx.get('authorization') };
    requests.push(entry);
    await next();
    Object.assign(entry, { status: ctx.status, body: { ...ctx.oidc?.body } });
  });
  for (const event of ['server_error', 'grant.error', 'authorization.error', 'userinfo.error', 'end_session.error']) {
    provider.on(event, (ctx, error) => {
      const detail = error.error_detail ?? error.error_description ?? error.stack;
      console.error(`${event}: ${ctx.method} ${ctx.path}: ${error.message}: ${detail}`);
    });
  }
  const callback = provider.callback();
  server.on('request', (req, res) => {
    const path = req.url.split('?')[0];
    const failed = (error) => {
      console.error(error);
      answer(res, error.statusCode ?? 500, html('Provider error', `<p>${escape(error.message)}</p>`));
    };
    if (path.startsWith('/_test/')) control(provider, req, res, path).catch(failed);
    else if (path.startsWith('/interaction/')) interaction(provider, req, res).catch(failed);
    else callback(req, res);
  });
  console.log(`ready ${issuer}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
