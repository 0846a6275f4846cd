// Sign-ins that failed, of all users.

import { get } from './api.js';
import { h, replace } from './dom.js';
import { ago, moment } from './format.js';
import { badge, card, pager, table } from './parts.js';

// signinTable shows entries of the authentication log.
export function signinTable(logins, brief = false) {
  const columns = [
    { title: 'When', cell: (l) => h('time', { datetime: l.last, title: moment(l.last, true) }, ago(l.last)) },
    { title: 'Name', cell: (l) => (l.user ? h('a', { href: `#/users/${l.user}` }, l.username) : l.username || '–') },
    { title: 'From', cell: (l) => l.remote || 'local' },
    { title: 'Result', cell: (l) => badge(l.result, l.result === 'ok' ? 'good' : 'bad') },
    { title: 'Times', class: 'number', cell: (l) => String(l.count) },
  ];
  if (!brief) {
    columns.splice(3, 0, { title: 'How', cell: (l) => `${l.protocol} ${l.mechanism}`.trim() });
    columns.push({ title: 'By', cell: (l) => [l.by || '', l.actor ? ` (${l.actor})` : ''] });
  }
  return table('Sign-ins', columns, logins, brief ? 'Nobody failed lately.' : 'No sign-ins are recorded.');
}

export async function signins(main, signal) {
  const body = h('div');
  const pages = [''];
  const load = async () => {
    const answer = await get('/authlog', { result: 'failed', limit: 50, after: pages[pages.length - 1] }, signal);
    replace(body, signinTable(answer.logins), pager(pages, answer.next, load));
  };
  replace(main, h('h1', null, 'Sign-ins'), card('Failed sign-ins', { note: 'The latest first; kept for 30 days' }, body));
  await load();
}
