// A certified OpenID provider for the integration tests: everything in memory, loopback only.
//
// Prints one line, "ready ISSUER", once it listens; ends when its standard input is closed, so that it never
// outlives the tests. Beside the provider's own endpoints it answers
//   POST   /_test/clients    one client's metadata: registers it, or replaces the one with the same client_id
//   POST   /_test/accounts   {"login": ..., "claims": {"sub": ..., ...}, "password": ...}
//   GET    /_test/requests   what the provider was asked, oldest first;  DELETE forgets it
//   GET    /_test/events     what became of refreshes, revocations and back-channel logouts, oldest first
//   POST   /_test/hold       {"client_id": ..., "stage": "request" | "response"}: refreshes of that client wait, before
//                            anything is done about them or with the answer ready;  GET tells how many wait
//   POST   /_test/release    {"client_id": ...}: they go on
//   GET    /_test/sessions   who is signed in here, and under which sid at which client
//   POST   /_test/end        {"sid": ...} or {"sub": ...}: ends those sessions as a sign-out here would, back-channel
//                            logouts included
// Client properties of ours: claims_in_id_token (profile, email, ... claims stand in the ID token and not only in
// userinfo), pkce_optional, refresh_tokens (issued without the scope offline_access too) and access_token_lifetime
// (seconds). Refresh tokens are rotated; one that is used twice takes its whole grant with it (RFC 9700, 4.14.2).

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Provider, interactionPolicy } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';
import instance from 'oidc-provider/lib/helpers/weak_cache.js';

const host = process.env.PROVIDER_HOST ?? 'localhost';
const port = Number(process.env.PROVIDER_PORT ?? 0);

const clients = new Map();
const accounts = new Map();
const requests = [];
const events = [];
const holds = new Map();
const turns = new Map();

// The provider's own store forgets the oldest when a thousand entries are in it, and cannot be looked through.
class Store {
  #entries = new Map();

  get(key) {
    const entry = this.#entries.get(key);
    if (entry && entry.expiry <= Date.now()) this.#entries.delete(key);
    return this.#entries.get(key)?.value;
  }

  set(key, value, { maxAge = Infinity } = {}) {
    this.#entries.set(key, { value, expiry: Date.now() + maxAge });
  }

  delete(key) {
    this.#entries.delete(key);
  }

  values(model) {
    return [...this.#entries.keys()].filter((key) => key.startsWith(`${model}:`)).flatMap((key) => this.get(key) ?? []);
  }
}

const store = new Store();

class Adapter extends MemoryAdapter {
  constructor(model) {
    super(model, store);
  }

  async find(id) {
    if (this.model === 'Client') return clients.get(id);
    if (this.model === 'RefreshToken') await presented(id, Provider.ctx);
    return super.find(id);
  }
}

async function held(stage, clientId) {
  const hold = holds.get(clientId);
  if (hold?.stage !== stage) return;
  hold.waiting += 1;
  await hold.released;
}

// Before a refresh token is looked up. Nothing else in this provider makes looking it up and marking it as used one
// step: two requests at once with one token would both be granted, and reuse would be noticed by chance.
async function presented(token, ctx) {
  if (ctx?.oidc?.route !== 'token') return;
  await held('request', ctx.oidc.client.clientId);
  // Who is gone has never asked.
  if (ctx.req.socket.destroyed) await new Promise(() => {});
  const before = turns.get(token);
  turns.set(token, new Promise((resolve) => { ctx.endOfTurn = resolve; }));
  await before;
}

function release(clientId) {
  holds.get(clientId)?.release();
  holds.delete(clientId);
}

function hold({ client_id: clientId, stage }) {
  release(clientId);
  const made = { stage, waiting: 0 };
  made.released = new Promise((resolve) => { made.release = resolve; });
  holds.set(clientId, made);
}

function note(kind, clientId, details = {}) {
  events.push({ kind, client_id: clientId, ...details });
}

// The provider's own way out refuses loopback and gives up after 2.5 seconds: right for a provider that anyone can
// register at, wrong for one that is only here for applications on this, maybe busy, machine.
async function fetchHere(url, { dispatcher, signal, ...options }) {
  if (!['127.0.0.1', 'localhost'].includes(new URL(url).hostname)) throw new Error(`${url} is not on this machine`);
  const token = options.body instanceof URLSearchParams ? options.body.get('logout_token') : null;
  const told = (details) => {
    const client = [...clients.values()].find((known) => known.backchannel_logout_uri === url);
    if (token) note('backchannel_logout', client?.client_id, { logout_token: token, ...details });
  };
  try {
    const response = await fetch(url, { ...options, signal: AbortSignal.timeout(30_000) });
    told({ status: response.status });
    return response;
  } catch (error) {
    told({ status: null, error: String(error.cause ?? error) });
    throw error;
  }
}

function sessions() {
  return store.values('Session').filter((session) => session.accountId);
}

async function endSessions(provider, { sid, sub }) {
  const isMeant = (session) => (
    sub ? session.accountId === sub : Object.values(session.authorizations ?? {}).some((one) => one.sid === sid)
  );
  for (const { jti } of sessions().filter(isMeant)) {
    const session = await provider.Session.find(jti);
    const signedInAt = Object.entries(session.authorizations ?? {});
    await Promise.all(signedInAt.map(async ([clientId, { sid: sidThere, grantId, persistsLogout }]) => {
      const client = await provider.Client.find(clientId);
      // What came of it is an event.
      if (client?.backchannelLogoutUri) await client.backchannelLogout(session.accountId, sidThere).catch(() => {});
      if (grantId && !persistsLogout) {
        // One is enough: a grant's tokens are found under the grant, whatever they are.
        await provider.RefreshToken.revokeByGrantId(grantId);
        await provider.Grant.adapter.destroy(grantId);
      }
    }));
    await session.destroy();
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

const acrValuesIn = (params) => (params.acr_values ?? '').split(' ').filter(Boolean);

// Who is signed in with less than acr_values asks for is asked once more.
const policy = interactionPolicy.base();
policy.get('login').checks.add(
  new interactionPolicy.Check('acr_not_met', 'a stronger sign-in is asked for', 'login_required', ({ oidc }) => {
    const asked = acrValuesIn(oidc.params);
    const isMet = asked.length === 0 || oidc.result?.login || asked.includes(oidc.acr);
    return isMet ? interactionPolicy.Check.NO_NEED_TO_PROMPT : interactionPolicy.Check.REQUEST_PROMPT;
  }),
);

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
  extraClientMetadata: {
    properties: ['claims_in_id_token', 'pkce_optional', 'refresh_tokens', 'access_token_lifetime'],
    validator() {},
  },
  enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] },
  pkce: { required: (ctx, client) => !client.pkce_optional },
  ttl: { AccessToken: (ctx, token, client) => client.access_token_lifetime ?? 3600 },
  issueRefreshToken: async (ctx, client, source) => (
    client.grantTypeAllowed('refresh_token') && (source.scopes.has('offline_access') || client.refresh_tokens === true)
  ),
  rotateRefreshToken: true,
  fetch: fetchHere,
  interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  renderError(ctx, out) {
    ctx.type = 'html';
    const lines = Object.entries(out).map(([key, value]) => `<p>${escape(key)}: ${escape(value)}</p>`);
    ctx.body = html('Provider error', lines.join('\n'));
  },
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    // The name of an API says what its access tokens are: those of one that ends in /jwt are signed.
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator) => ({
        scope: 'read write',
        accessTokenFormat: indicator.endsWith('/jwt') ? 'jwt' : 'opaque',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
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
    case 'GET /_test/events':
      return json(200, events);
    case 'POST /_test/hold':
      hold(JSON.parse(await bodyOf(req)));
      return json(200, {});
    case 'GET /_test/hold':
      return json(200, Object.fromEntries([...holds].map(([clientId, { waiting }]) => [clientId, waiting])));
    case 'POST /_test/release':
      release(JSON.parse(await bodyOf(req)).client_id);
      return json(200, {});
    case 'GET /_test/sessions':
      return json(200, sessions().flatMap(({ accountId: sub, authorizations }) => (
        Object.entries(authorizations ?? {}).map(([clientId, { sid }]) => ({ sub, client_id: clientId, sid }))
      )));
    case 'POST /_test/end':
      await endSessions(provider, JSON.parse(await bodyOf(req)));
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
    // Zoë has no second factor.
    const isStrong = form.get('login') === 'jane' && acrValuesIn(details.params).includes('urn:acme:two-factors');
    const acr = isStrong ? 'urn:acme:two-factors' : 'urn:acme:password';
    result = { login: { accountId: account.claims.sub, acr, amr: isStrong ? ['pwd', 'otp'] : ['pwd'] } };
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

const isRefresh = (ctx) => ctx.oidc?.route === 'token' && ctx.oidc.body?.grant_type === 'refresh_token';

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
    try {
      await next();
    } finally {
      ctx.endOfTurn?.();
    }
    Object.assign(entry, { status: ctx.status, body: { ...ctx.oidc?.body } });
    if (ctx.oidc?.route === 'revocation' && ctx.status === 200) {
      const { AccessToken, RefreshToken } = ctx.oidc.entities;
      note('revocation', ctx.oidc.client.clientId, { token: (RefreshToken ?? AccessToken)?.kind ?? null });
    }
    if (isRefresh(ctx)) await held('response', ctx.oidc.client?.clientId);
  });
  provider.on('grant.success', (ctx) => {
    if (isRefresh(ctx)) note('refresh_granted', ctx.oidc.client.clientId);
  });
  provider.on('grant.error', (ctx, { error, error_detail: detail }) => {
    if (isRefresh(ctx)) note('refresh_refused', ctx.oidc.client?.clientId, { error, detail });
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
