// The list of users.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { count, moment } from './format.js';
import { ask, card, failure, field, notice, pager, state, usage } from './parts.js';

const pageSize = 50;

// quotaText is a limit as a form shows it.
export const quotaHint = 'Such as 10GiB; “unlimited”, or empty for the default.';

export function askNewUser(done) {
  return ask('New user', {
    action: 'Create',
    fields: [
      field('Mail address', { name: 'username', type: 'email', required: true, autofocus: true }),
      field('Name', { name: 'name' }, 'For people; may be empty.'),
      field('Password', { name: 'password', type: 'password', required: true, autocomplete: 'new-password' }, 'At least 8 characters.'),
      field('Storage limit', { name: 'storage' }, quotaHint),
    ],
    submit: async ({ username, name, password, storage }) => {
      const body = { username, password };
      if (name) body.name = name;
      if (storage) body.quota = { storage };
      const made = await call('POST', '/users', { body });
      notice(`${made.username} was created.`);
      done(made);
    },
  });
}

export async function users(main, signal) {
  let pages = [''];
  let filter = { prefix: '', domain: '' };
  let turn = 0;
  const body = h('div');
  const load = async () => {
    turn += 1;
    const mine = turn;
    try {
      const answer = await get('/users', { ...filter, limit: pageSize, after: pages[pages.length - 1] }, signal);
      if (mine === turn) replace(body, userTable(answer.users), pager(pages, answer.next, load));
    } catch (error) {
      if (!signal.aborted && mine === turn) replace(body, failure(error, load));
    }
  };
  // A filter that has an @ and nothing before it is a domain.
  const search = h('input', {
    type: 'search', placeholder: 'Address, or @domain', 'aria-label': 'Find users by the beginning of their address, or by @domain',
    oninput: () => {
      const text = search.value.trim().toLowerCase();
      filter = text.startsWith('@') ? { prefix: '', domain: text.slice(1) } : { prefix: text, domain: '' };
      pages = [''];
      load();
    },
    onkeydown: (event) => {
      const first = body.querySelector('a[data-row]');
      if (event.key === 'Enter' && first) first.click();
    },
  });
  replace(main, h('h1', null, 'Users'),
    h('div', { class: 'toolbar' }, search,
      h('button', { type: 'button', class: 'primary', onclick: () => askNewUser((made) => { location.hash = `#/users/${made.id}`; }) }, 'New user')),
    card('All users', { note: 'By name' }, body));
  await load();
}

function userTable(list) {
  if (!list.length) return h('p', { class: 'empty' }, 'No such user.');
  return h('div', { class: 'scroll', role: 'region', 'aria-label': 'Table: Users', tabindex: '0' }, h('table', { class: 'rows' },
    h('thead', null, h('tr', null, ['User', 'State', 'Storage', 'Messages', 'Created', ''].map((title, i) => h('th', {
      scope: 'col', class: i === 3 ? 'number' : i === 5 ? 'end' : null,
    }, title || h('span', { class: 'unseen-text' }, 'Mail'))))),
    h('tbody', null, list.map((u) => h('tr', null,
      h('td', null, h('a', { href: `#/users/${u.id}`, 'data-row': true, class: 'strong' }, u.username),
        u.name ? h('span', { class: 'note' }, ` ${u.name}`) : null),
      h('td', null, state(u.state)),
      h('td', null, usage(u.quota.storage)),
      h('td', { class: 'number' }, count(u.quota.messages.used)),
      h('td', null, moment(u.created)),
      h('td', { class: 'end' }, u.state === 'deleted' ? null : h('a', { href: `#/mail/${u.id}`, 'aria-label': `Mail of ${u.username}` }, 'Mail')))))));
}

