// The frame of the console: login, views by the address after #, keys, themes.

import { call, Failure, get, has, hasToken, learnRoutes, setToken } from './api.js';
import { h, replace } from './dom.js';
import { failure, field, notice, tell } from './parts.js';
import { overview } from './overview.js';
import { users } from './users.js';
import { user } from './user.js';
import { mail } from './mail.js';
import { sessions } from './sessions.js';
import { signins } from './signins.js';
import { log } from './log.js';
import { domains } from './domains.js';
import { tokens } from './tokens.js';

// views: name, title, key, view(main, signal, ...pieces of the address), route that it needs.
const views = [
  { name: 'overview', title: 'Overview', key: 'o', view: overview },
  { name: 'users', title: 'Users', key: 'u', view: (main, signal, id) => (id ? user(main, signal, id) : users(main, signal)) },
  { name: 'domains', title: 'Domains', key: 'm', view: domains, route: 'GET /domains' },
  { name: 'sessions', title: 'Sessions', key: 'c', view: sessions, route: 'GET /sessions' },
  { name: 'signins', title: 'Sign-ins', key: 's', view: signins, route: 'GET /authlog' },
  { name: 'log', title: 'Log', key: 'l', view: log, route: 'GET /log' },
  { name: 'tokens', title: 'Tokens', key: 't', view: tokens, route: 'GET /tokens' },
  { name: 'mail', title: 'Mail', view: mail, hidden: true },
];

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const healthBox = document.getElementById('health');
const logoutButton = document.getElementById('logout');
let current = null; // AbortController of the view
let ready = false; // logged in, or no login is wanted

// show shows the view of the address.
async function show(focus = true) {
  if (!ready) return;
  if (current) current.abort();
  current = new AbortController();
  const { signal } = current;
  const [name, ...pieces] = location.hash.replace(/^#\/?/, '').split('/').map((piece) => {
    try { return decodeURIComponent(piece); } catch { return piece; }
  });
  const view = views.find((v) => v.name === name) || views[0];
  const section = view.hidden ? 'users' : view.name;
  for (const link of nav.querySelectorAll('a')) {
    if (link.dataset.view === section) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${view.title} – Gadwall`;
  replace(main, h('p', { class: 'loading' }, 'Loading…'));
  try {
    await view.view(main, signal, ...pieces);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    replace(main, failure(error, () => show()));
  }
  if (signal.aborted) return;
  const chosen = document.activeElement;
  if (chosen !== main && main.contains(chosen)) return; // the operator went on while it loaded
  if (focus) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function drawNav() {
  replace(nav, views.filter((v) => !v.hidden && (!v.route || has(v.route))).map((v) => h('a', {
    href: `#/${v.name}`, 'data-view': v.name, 'aria-keyshortcuts': `g ${v.key}`, title: `${v.title} (g ${v.key})`,
  }, v.title)));
  nav.hidden = false;
  logoutButton.hidden = !hasToken();
}

// begin finds out whether the server lets this page in.
async function begin() {
  try {
    await learnRoutes();
  } catch (error) {
    if (error.status === 401) login(hasToken() ? 'The token is no longer valid.' : '');
    else replace(main, failure(error, begin));
    return;
  }
  ready = true;
  drawNav();
  watchHealth();
  await show(false);
}

function login(why = '') {
  ready = false;
  if (current) current.abort();
  setToken('');
  nav.hidden = true;
  logoutButton.hidden = true;
  document.title = 'Log in – Gadwall';
  const failed = h('p', { class: 'failed', role: 'alert', hidden: !why }, why);
  const button = h('button', { type: 'submit', class: 'primary' }, 'Log in');
  const input = field('Administrator token', { type: 'password', name: 'token', required: true, autocomplete: 'off' },
    'The setting http-token of the server, or a token with scope “all”. It stays in this window.');
  replace(main, h('form', {
    class: 'login card',
    onsubmit: async (event) => {
      event.preventDefault();
      failed.hidden = true;
      button.disabled = true;
      setToken(input.querySelector('input').value.trim());
      try {
        await learnRoutes();
        if (has('GET /instances')) await get('/instances');
        await begin();
        main.focus({ preventScroll: true });
      } catch (error) {
        setToken('');
        failed.textContent = {
          401: 'This token is not valid, or its time is over.',
          403: 'This token may not do everything: the console needs the scope “all”.',
        }[error.status] || error.message;
        failed.hidden = false;
        input.querySelector('input').select();
      }
      button.disabled = false;
    },
  }, h('h1', null, 'Gadwall'), h('p', { class: 'note' }, 'Console for operators'), input, failed, h('div', { class: 'actions' }, button)));
  input.querySelector('input').focus();
}

document.addEventListener('unauthorized', () => {
  if (ready) login('The token is no longer valid. Log in again.');
});
logoutButton.addEventListener('click', () => {
  history.replaceState(null, '', '/');
  login();
});

// watchHealth shows in the bar whether this instance works.
let watching = 0;
async function watchHealth() {
  clearTimeout(watching);
  if (!ready) {
    replace(healthBox);
    return;
  }
  let text = 'Healthy';
  let kind = 'good';
  try {
    const { status, disk } = await call('GET', '/health');
    if (status !== 'ok' || (disk && disk.writesRefused)) [text, kind] = ['Disk full', 'bad'];
  } catch (error) {
    [text, kind] = [error instanceof Failure && error.status ? 'Database down' : 'Unreachable', 'bad'];
  }
  if (healthBox.textContent !== text) replace(healthBox, h('span', { class: `lamp ${kind}`, 'aria-hidden': 'true' }), text);
  watching = setTimeout(watchHealth, 15000);
}

// Themes: that of the browser, light, dark.
const themeButton = document.getElementById('theme');
const themes = ['auto', 'light', 'dark'];

function drawTheme() {
  const theme = document.documentElement.dataset.theme || 'auto';
  themeButton.textContent = { auto: 'Auto', light: 'Light', dark: 'Dark' }[theme];
  themeButton.setAttribute('aria-label', `Theme: ${theme}`);
}

function nextTheme() {
  const theme = themes[(themes.indexOf(document.documentElement.dataset.theme || 'auto') + 1) % themes.length];
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === 'auto') localStorage.removeItem('gadwall-theme');
    else localStorage.setItem('gadwall-theme', theme);
  } catch { /* storage is off: until the page is left */ }
  drawTheme();
}
themeButton.addEventListener('click', nextTheme);
drawTheme();

// Keys. A view may have further ones: a "keys" event with the key, which it cancels if it knows it.
function helpKeys() {
  const rows = [['/', 'Search'], ['?', 'This help'], ['d', 'Light or dark'], ['j, k', 'Next or previous row of a list'], ['Enter', 'Open'],
    ['Esc', 'Close, or back'], ...views.filter((v) => v.key && (!v.route || has(v.route))).map((v) => [`g ${v.key}`, v.title])];
  tell('Keys', h('dl', { class: 'keys' }, rows.map(([key, what]) => [h('dt', null, key.split(' ').map((k) => h('kbd', null, k.replace(',', '')))), h('dd', null, what)])));
}
document.getElementById('help').addEventListener('click', helpKeys);

let prefix = '';
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const typing = event.target.closest('input, select, textarea');
  if (typing) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const before = prefix;
  prefix = '';
  if (before === 'g') {
    const view = views.find((v) => v.key === event.key && (!v.route || has(v.route)));
    if (view && ready) location.hash = `#/${view.name}`;
  } else if (event.key === 'g') {
    prefix = 'g';
  } else if (event.key === '?') {
    helpKeys();
  } else if (event.key === 'd') {
    nextTheme();
  } else if (event.key === '/') {
    const search = main.querySelector('input[type=search]');
    if (!search) return;
    search.focus();
    search.select();
  } else if (event.key === 'j' || event.key === 'k') {
    step(event.key === 'j' ? 1 : -1);
  } else if (event.key === 'Escape') {
    const back = [...main.querySelectorAll('a.back')].pop(); // the nearest
    if (back) back.click();
    return;
  } else {
    return;
  }
  event.preventDefault();
});

// step moves the focus along the rows of a list.
function step(by) {
  const rows = [...main.querySelectorAll('[data-row]')];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))].focus();
}

document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

window.addEventListener('hashchange', () => show());
window.addEventListener('unhandledrejection', (event) => {
  if (event.reason && event.reason.name !== 'AbortError' && event.reason.status !== 401) notice(String(event.reason.message || event.reason), 'bad');
});

begin();
