// The stream of what happens to a user's mail.

import { events } from './api.js';
import { h, replace } from './dom.js';
import { clock, percent } from './format.js';
import { badge } from './parts.js';

export const updatesRoute = 'GET /users/{id}/updates';

const retryAfter = 3000;
const shown = 50;

// stream calls tell with each event and its time, and goes on where it was after a cut, until the
// signal or until the server refuses.
export async function stream(where, signal, tell) {
  let since = '';
  while (!signal.aborted) {
    try {
      await events(`${where}/updates`, since, signal, (event) => {
        since = event.id || since;
        tell(JSON.parse(event.data), new Date());
      });
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500 && error.status !== 429)) return;
    }
    await new Promise((resolve) => { setTimeout(resolve, retryAfter); });
  }
}

const kinds = {
  new: 'good', sent: 'good', expunged: 'bad', 'mailbox-deleted': 'bad', junk: 'warn', quota: 'warn', resync: 'warn',
};

// told is what an event says, in a line.
function told(event) {
  const mails = (uids) => (uids && uids.length === 1 ? 'a message' : `${uids ? uids.length : 0} messages`);
  const box = event.mailbox ? event.mailbox.path : '';
  const from = ((event.message || {}).from || [])[0] || {};
  switch (event.kind) {
    case 'new': return [h('span', { class: 'strong' }, event.message.subject || 'No subject'), ` from ${from.name || from.address || 'nobody'}, in ${box}`];
    case 'flags': return `${box}: message ${event.message.uid} has ${(event.message.flags || []).join(' ') || 'no flags'}`;
    case 'moved': return `${mails(event.uids)} from ${event.from.mailbox.path} to ${box}`;
    case 'mailbox-renamed': return `${event.before.path || event.before} is ${box} now`;
    case 'mailbox-changed': return `${box} is ${event.mailbox.specialUse ? `the mailbox for ${event.mailbox.specialUse}` : 'for no special use'}`;
    case 'quota': return `${event.quota.resource} is at ${event.quota.level} %: ${percent(event.quota.usage, event.quota.limit)}`;
    case 'start': return 'The stream begins.';
    case 'resync': return 'Something was missed.';
    default: return event.uids ? `${mails(event.uids)} in ${box}` : box;
  }
}

// liveEvents is a list of events as they come, the latest first.
export function liveEvents(where, signal) {
  const list = h('ul', { class: 'log', 'aria-live': 'polite', 'aria-label': 'Events' });
  const box = h('div', null, h('p', { class: 'loading' }, 'Waiting for the stream…'));
  stream(where, signal, (event, at) => {
    if (!list.isConnected) replace(box, list);
    list.prepend(h('li', null, h('time', { datetime: at.toISOString() }, clock(at)),
      h('span', { class: 'log-text' }, badge(event.kind, kinds[event.kind] || ''), ' ', told(event))));
    while (list.children.length > shown) list.lastChild.remove();
  });
  return box;
}
