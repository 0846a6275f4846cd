// Tokens of the HTTP API.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { moment } from './format.js';
import { ask, badge, card, field, secret, table, tell } from './parts.js';

const scopes = ['all', 'users', 'users:read', 'mail', 'mail:read', 'metrics', 'tokens'];

export async function tokens(main, signal) {
  const body = h('div');
  const load = async () => {
    const answer = await get('/tokens', null, signal);
    replace(body, table('Tokens', [
      { title: 'For', cell: (t) => [h('span', { class: 'strong' }, t.name), h('span', { class: 'note' }, ` ${t.id}`)] },
      { title: 'Scopes', cell: (t) => t.scopes.map((s) => badge(s)) },
      { title: 'User', cell: (t) => (t.user ? h('a', { href: `#/users/${t.user}` }, t.user) : 'all') },
      { title: 'Made', cell: (t) => moment(t.created) },
      { title: 'Ends', cell: (t) => (t.expires ? [moment(t.expires), Date.parse(t.expires) < Date.now() ? [' ', badge('over', 'bad')] : null] : 'never') },
      {
        title: '', class: 'end',
        cell: (t) => h('button', {
          type: 'button', class: 'quiet', 'aria-label': `Revoke ${t.name}`,
          onclick: () => ask(`Revoke ${t.name}?`, {
            text: 'Programs that use this token are refused from now on.', action: 'Revoke', danger: true,
            submit: async () => { await call('DELETE', `/tokens/${encodeURIComponent(t.id)}`); await load(); },
          }),
        }, 'Revoke'),
      },
    ], answer.tokens, 'None. The setting http-token is not listed.'));
  };
  const make = () => ask('New token', {
    action: 'Make',
    fields: [field('What for', { name: 'name', required: true, autofocus: true }, 'Such as “webmail”.'),
      h('fieldset', null, h('legend', null, 'Scopes'), scopes.map((s) => h('label', { class: 'check' }, h('input', { type: 'checkbox', name: s }), s))),
      field('User', { name: 'user' }, 'Id or address, if the token is for the mail of one user.'),
      field('Ends', { name: 'days', options: [['', 'never'], ['1', 'in a day'], ['30', 'in 30 days'], ['365', 'in a year']] })],
    submit: async (values) => {
      const asked = { name: values.name, scopes: scopes.filter((s) => values[s]) };
      if (values.user) asked.user = values.user;
      if (values.days) asked.expires = new Date(Date.now() + Number(values.days) * 86400000).toISOString();
      const made = await call('POST', '/tokens', { body: asked });
      await load();
      tell('Token', h('p', null, 'The server shows it this once.'), secret(made.token));
    },
  });
  replace(main, h('h1', null, 'Tokens'),
    card('Tokens of the HTTP API', { actions: h('button', { type: 'button', onclick: make }, 'Make…') }, body));
  await load();
}
