// The JSON API.

const tokenKey = 'gadwall-token';

// token is the administrator's, while this window is open; empty where the server wants none.
let token = '';
try {
  token = sessionStorage.getItem(tokenKey) || '';
} catch { /* storage is off: the token is kept in memory alone */ }

export function setToken(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(tokenKey, value);
    else sessionStorage.removeItem(tokenKey);
  } catch { /* as above */ }
}

export const hasToken = () => token !== '';

// Failure is what a request failed with. code is that of the problem document.
export class Failure extends Error {
  constructor(status, code, text) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

// path makes a path of pieces, which may have any characters.
export const path = (...pieces) => `/${pieces.map((piece) => encodeURIComponent(piece)).join('/')}`;

// request sends a request and returns the response, or throws a Failure.
export async function request(method, where, { query, body, signal, headers } = {}) {
  const given = Object.entries(query || {}).filter(([, value]) => value !== '' && value !== undefined && value !== null);
  const url = given.length ? `${where}?${new URLSearchParams(given)}` : where;
  const sent = { ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(url, {
      method, signal, headers: sent, cache: 'no-store', credentials: 'omit', redirect: 'error',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, 'Unreachable', 'The server does not answer.');
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const failure = new Failure(response.status, problem.code || '', problem.detail || problem.error
    || `${response.status} ${response.statusText}`);
  if (response.status === 401) document.dispatchEvent(new CustomEvent('unauthorized', { detail: failure }));
  throw failure;
}

// call is request for JSON; null for an answer without a body.
export async function call(method, where, options) {
  const response = await request(method, where, options);
  return response.status === 204 ? null : response.json();
}

export const get = (where, query, signal) => call('GET', where, { query, signal });

// download saves what a path answers as a file.
export async function download(where, name) {
  const response = await request('GET', where);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await response.blob());
  link.download = name.replace(/[\u0000-\u001f\u007f/\\]/g, '_') || 'part';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// events calls tell for each event of a stream of server-sent events, until the signal or its end. (An
// EventSource could not send the token.) since is the id of the last event that was taken, or empty.
export async function events(where, since, signal, tell) {
  const headers = { Accept: 'text/event-stream' };
  if (since) headers['Last-Event-ID'] = since;
  const response = await request('GET', where, { signal, headers });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\n\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { id: '', type: 'message', data: '' };
      for (const line of block.split('\n')) {
        const [, name, text] = /^(\w+): ?(.*)$/.exec(line) || [];
        if (name === 'event') event.type = text;
        if (name === 'id') event.id = text;
        if (name === 'data') event.data += text;
      }
      if (event.data) tell(event);
    }
  }
}

// routes are the methods and paths that the server has.
let routes = null;

export async function learnRoutes() {
  const document = await get('/openapi.json');
  routes = new Set(Object.entries(document.paths)
    .flatMap(([where, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${where}`)));
}

// has reports whether the server has a route, such as "GET /authlog".
export const has = (route) => routes !== null && routes.has(route);
