// One user: state, limits, addresses, application passwords, tokens, sign-ins, sessions.

import { call, get, has, path } from './api.js';
import { h, replace } from './dom.js';
import { ago, count, moment } from './format.js';
import { act, ask, badge, card, failure, field, notice, secret, state, table, tell, usage } from './parts.js';
import { quotaHint } from './users.js';
import { sessionTable } from './sessions.js';
import { signinTable } from './signins.js';
import { liveEvents, updatesRoute } from './stream.js';

const limitText = (amount) => (amount.limit === null ? '' : String(amount.limit));

export async function user(main, signal, id) {
  const where = path('users', id);
  let u = await get(where, null, signal);
  const page = h('div');
  const live = has(updatesRoute) && u.state === 'active' ? card('Live events', { class: 'wide', note: 'As they happen' }, liveEvents(where, signal)) : null;
  replace(main, page);

  const changed = async (what, text) => {
    u = (await what) || await get(where, null, signal);
    draw();
    if (text) notice(text);
  };
  const patch = (body, text) => changed(call('PATCH', where, { body }), text);

  function draw() {
    const deleted = u.state === 'deleted';
    const actions = deleted ? [
      h('button', { type: 'button', onclick: act(() => changed(call('POST', `${where}/undelete`), 'The user is back.')) }, 'Bring back'),
    ] : [
      h('a', { class: 'button', href: `#/mail/${u.id}` }, 'Mail'),
      h('button', { type: 'button', onclick: askPassword }, 'Password…'),
      h('button', { type: 'button', onclick: askName }, 'Name…'),
      h('button', { type: 'button', onclick: askRename }, 'Address…'),
      u.state === 'suspended'
        ? h('button', { type: 'button', onclick: act(() => patch({ state: 'active' }, 'The user can log in again.')) }, 'Resume')
        : h('button', { type: 'button', onclick: askSuspend }, 'Suspend…'),
      h('button', { type: 'button', class: 'danger', onclick: askDelete }, 'Delete…'),
    ];
    replace(page,
      h('p', { class: 'crumbs' }, h('a', { class: 'back', href: '#/users' }, 'Users'), ' / '),
      h('div', { class: 'head' }, h('h1', null, u.username), state(u.state), h('div', { class: 'actions' }, actions)),
      deleted ? h('p', { class: 'failed' }, `Deleted. The mail goes for good at ${moment(u.deleteAfter, true)}.`) : null,
      h('div', { class: 'grid' },
        card('Account', null, h('dl', { class: 'pairs' }, [
          ['Id', h('code', null, u.id)], ['Name', u.name || '–'], ['Created', moment(u.created, true)],
          u.metadata ? ['Metadata', h('code', null, JSON.stringify(u.metadata))] : null,
        ].filter(Boolean).map(([name, value]) => [h('dt', null, name), h('dd', null, value)]))),
        card('Quota', { actions: deleted ? null : h('button', { type: 'button', onclick: askQuota }, 'Limits…') },
          h('dl', { class: 'pairs' }, h('dt', null, 'Storage'), h('dd', null, usage(u.quota.storage)),
            h('dt', null, 'Messages'), h('dd', null, usage(u.quota.messages, count)))),
        deleted ? null : [
          part('Addresses', addresses), part('Application passwords', appPasswords),
          has('GET /users/{id}/sessions') ? part('Sessions', sessions, 'wide') : null,
          has('GET /users/{id}/authlog') ? part('Sign-ins', signins, 'wide') : null,
          live,
        ]));
  }

  // part is a card that is loaded on its own.
  function part(title, load, kind = '') {
    const body = h('div', null, h('p', { class: 'loading' }, 'Loading…'));
    const actions = h('div', { class: 'actions' });
    const again = async () => {
      try {
        await load(body, actions, again);
      } catch (error) {
        if (!signal.aborted) replace(body, failure(error, again));
      }
    };
    again();
    return card(title, { class: kind, actions }, body);
  }

  async function addresses(body, actions, again) {
    const answer = await get(`${where}/addresses`, null, signal);
    replace(actions, h('button', {
      type: 'button',
      onclick: () => ask('Further address', {
        action: 'Add', fields: [field('Address', { name: 'address', required: true, autofocus: true }, 'Such as post@example.com, or *@example.com.')],
        submit: async ({ address }) => { await call('POST', `${where}/addresses`, { body: { address } }); notice('The address was added.'); again(); },
      }),
    }, 'Add…'));
    const list = answer.addresses.map((a) => (typeof a === 'string' ? a : a.address));
    replace(body, table('Addresses', [
      { title: 'Address', cell: (a) => [a, a === u.username ? [' ', badge('name')] : null] },
      {
        title: '', class: 'end',
        cell: (a) => (a === u.username ? null : h('button', {
          type: 'button', class: 'quiet', 'aria-label': `Remove ${a}`,
          onclick: act(async () => { await call('DELETE', `${where}/addresses/${encodeURIComponent(a)}`); again(); }, 'The address was removed.'),
        }, 'Remove')),
      },
    ], list));
  }

  async function appPasswords(body, actions, again) {
    const answer = await get(`${where}/app-passwords`, null, signal);
    const list = answer.appPasswords;
    replace(actions, h('button', {
      type: 'button',
      onclick: () => ask('Application password', {
        action: 'Make',
        fields: [field('What for', { name: 'name', required: true, autofocus: true }, 'Such as “phone”.'),
          h('fieldset', null, h('legend', null, 'It opens'), ['imap', 'smtp', 'http'].map((scope) => h('label', { class: 'check' },
            h('input', { type: 'checkbox', name: `scope-${scope}`, checked: scope !== 'http' }), scope.toUpperCase())))],
        submit: async (values) => {
          const scopes = ['imap', 'smtp', 'http'].filter((scope) => values[`scope-${scope}`]);
          const made = await call('POST', `${where}/app-passwords`, { body: { name: values.name, scopes } });
          again();
          tell('Application password', h('p', null, 'The server shows it this once.'), secret(made.password));
        },
      }),
    }, 'Make…'));
    replace(body, table('Application passwords', [
      { title: 'For', cell: (p) => p.name },
      { title: 'Opens', cell: (p) => p.scopes.map((s) => badge(s)) },
      { title: 'Made', cell: (p) => moment(p.created) },
      { title: 'Last use', cell: (p) => (p.used ? ago(p.used) : 'never') },
      {
        title: '', class: 'end',
        cell: (p) => h('button', {
          type: 'button', class: 'quiet', 'aria-label': `Revoke ${p.name}`,
          onclick: act(async () => { await call('DELETE', `${where}/app-passwords/${encodeURIComponent(p.id)}`); again(); }, 'It opens nothing any more.'),
        }, 'Revoke'),
      },
    ], list, 'None.'));
  }

  async function signins(body) {
    replace(body, signinTable((await get(`${where}/authlog`, { limit: 20 }, signal)).logins));
  }

  async function sessions(body, actions, again) {
    const answer = await get(`${where}/sessions`, null, signal);
    replace(actions, answer.sessions.length ? h('button', {
      type: 'button', onclick: act(async () => { await call('DELETE', `${where}/sessions`); await again(); }, 'The sessions end.'),
    }, 'End all') : null);
    replace(body, sessionTable(answer, async (s) => {
      await call('DELETE', `${where}/sessions/${encodeURIComponent(s.id)}`);
      await again();
    }, true));
  }

  function askPassword() {
    ask('New password', {
      fields: [field('Password', { name: 'password', type: 'password', required: true, autofocus: true, autocomplete: 'new-password' }, 'At least 8 characters.')],
      submit: ({ password }) => patch({ password }, 'The password was changed.'),
    });
  }
  function askName() {
    ask('Name', {
      fields: [field('Name', { name: 'name', value: u.name || '', autofocus: true }, 'For people; empty takes it away.')],
      submit: ({ name }) => patch({ name }, 'The name was changed.'),
    });
  }
  function askRename() {
    ask('New address', {
      text: 'The user logs in with the new address from now on.',
      fields: [field('Mail address', { name: 'username', type: 'email', required: true, value: u.username, autofocus: true }),
        h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'keep', checked: true }), 'Mail for the old address still comes in')],
      submit: ({ username, keep }) => changed(call('POST', `${where}/rename`, { body: { username, keepAlias: keep === 'on' } }), 'The user was renamed.'),
    });
  }
  function askQuota() {
    ask('Limits', {
      fields: [field('Storage', { name: 'storage', value: limitText(u.quota.storage), autofocus: true }, quotaHint),
        field('Messages', { name: 'messages', value: limitText(u.quota.messages) }, 'A number; “unlimited”, or empty for the default.')],
      submit: ({ storage, messages }) => patch({ quota: {
        storage: storage || 'default', messages: /^\d+$/.test(messages) ? Number(messages) : messages || 'default',
      } }, 'The limits were changed.'),
    });
  }
  function askSuspend() {
    ask(`Suspend ${u.username}?`, {
      text: 'The user cannot log in until you resume. Mail is kept.', action: 'Suspend', danger: true,
      submit: () => patch({ state: 'suspended' }, 'The user is suspended.'),
    });
  }
  function askDelete() {
    ask(`Delete ${u.username}?`, {
      text: 'Nobody can log in or deliver mail. Within the time below you can bring the user back.', action: 'Delete', danger: true,
      fields: [field('All mail goes for good', { name: 'grace', options: [['720h', 'in 30 days'], ['168h', 'in 7 days'], ['24h', 'in a day'], ['', 'at once']] })],
      submit: async ({ grace }) => {
        await call('DELETE', where, { query: { grace } });
        notice(`${u.username} was deleted.`);
        if (grace) await changed(null);
        else location.hash = '#/users';
      },
    });
  }
  draw();
}
