// Sessions: connections on which users are logged in, of all instances.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { ago, moment, span } from './format.js';
import { act, badge, card, every, table } from './parts.js';

// sessionTable shows sessions; end ends one of them.
export function sessionTable({ sessions, silent }, end, ofOne = false) {
  const columns = [
    ofOne ? null : { title: 'User', cell: (s) => (s.user ? h('a', { href: `#/users/${s.user}` }, s.username) : h('span', { class: 'note' }, 'operator')) },
    { title: 'Protocol', cell: (s) => [s.protocol, ' ', s.tls ? badge('TLS', 'good') : null] },
    { title: 'From', cell: (s) => s.remote || 'local' },
    { title: 'Client', cell: (s) => s.client || '–' },
    { title: 'Mailbox', cell: (s) => s.mailbox || '–' },
    { title: 'By', cell: (s) => [s.by || '–', s.actor ? ` (${s.actor})` : ''] },
    { title: 'Since', cell: (s) => h('time', { datetime: s.since, title: moment(s.since, true) }, ago(s.since)) },
    { title: 'Idle', class: 'number', cell: (s) => span(s.idle) },
    {
      title: '', class: 'end',
      cell: (s) => h('button', { type: 'button', class: 'quiet', 'data-session': s.id, 'aria-label': `End the ${s.protocol} session of ${s.username || 'an operator'}`, onclick: act(() => end(s), 'The session ends.') }, 'End'),
    },
  ].filter(Boolean);
  return [
    silent && silent.length ? h('p', { class: 'failed' }, `Not all instances answered: ${silent.join(', ')}.`) : null,
    table('Sessions', columns, sessions, 'Nobody is logged in.'),
  ];
}

export async function sessions(main, signal) {
  const body = h('div');
  const load = async () => {
    const answer = await get('/sessions', null, signal);
    // The button that has the focus keeps it.
    const focused = body.contains(document.activeElement) && document.activeElement.dataset.session;
    replace(body, sessionTable(answer, async (s) => {
      await call('DELETE', `/sessions/${encodeURIComponent(s.id)}`);
      await load();
    }));
    if (focused) body.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
  };
  replace(main, h('h1', null, 'Sessions'), card('Who is logged in', { note: 'On all instances' }, body));
  await load();
  setTimeout(() => { if (!signal.aborted) every(15000, signal, load); }, 15000);
}
