// Streams of what happens to mail: a user's, and that of all users.

import { events } from './api.js';
import { h, replace } from './dom.js';
import { clock, count, percent } from './format.js';
import { badge } from './parts.js';

export const updatesRoute = 'GET /users/{id}/updates';
export const allUpdatesRoute = 'GET /updates';

const retryAfter = 3000;
const shown = 50;

// stream calls tell with each event and its time, and goes on where it was after a cut, until the
// signal or until the server refuses.
export async function stream(where, signal, tell, cut = () => {}) {
  let since = '';
  while (!signal.aborted) {
    try {
      await events(where, since, signal, (event) => {
        since = event.id || since;
        tell(JSON.parse(event.data), new Date());
      });
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500 && error.status !== 429)) return;
    }
    if (signal.aborted) return;
    cut();
    await new Promise((resolve) => { setTimeout(resolve, retryAfter); });
  }
}

const kinds = {
  new: 'good', sent: 'good', expunged: 'bad', 'mailbox-deleted': 'bad', junk: 'warn', quota: 'warn', resync: 'warn',
};

// told is what an event says, in a line.
function told(event) {
  const mails = (uids) => (uids && uids.length === 1 ? 'a message' : `${uids ? uids.length : 0} messages`);
  // A token that may not read mail is told neither the names of mailboxes nor what a message says.
  const pathOf = (mailbox) => (mailbox || {}).path || 'a mailbox';
  const box = event.mailbox ? pathOf(event.mailbox) : '';
  const message = event.message || {};
  const from = (message.from || [])[0] || {};
  switch (event.kind) {
    case 'new': return message.subject === undefined && !message.from ? `a message in ${box}` : [h('span', { class: 'strong' }, message.subject || 'No subject'), ` from ${from.name || from.address || 'nobody'}, in ${box}`];
    case 'flags': return `${box}: message ${message.uid} has ${(message.flags || []).join(' ') || 'no flags'}`;
    case 'moved': return `${mails(event.uids)} from ${pathOf((event.from || {}).mailbox)} to ${box}`;
    case 'mailbox-renamed': return `${event.before || 'a mailbox'} is ${box} now`;
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
  stream(`${where}/updates`, signal, (event, at) => {
    if (!list.isConnected) replace(box, list);
    list.prepend(h('li', null, h('time', { datetime: at.toISOString() }, clock(at)),
      h('span', { class: 'log-text' }, badge(event.kind, kinds[event.kind] || ''), ' ', told(event))));
    while (list.children.length > shown) list.lastChild.remove();
  });
  return box;
}

// filters are what a reader of the stream of all users can choose.
const filters = [
  ['', 'Everything'], ['new', 'New mail'], ['sent', 'Sent mail'], ['junk,not-junk', 'Junk and not junk'],
  ['moved,expunged', 'Moved and removed'], ['flags', 'Flags'],
  ['mailbox-created,mailbox-renamed,mailbox-changed,mailbox-deleted,mailbox-subscribed,mailbox-unsubscribed', 'Mailboxes'],
  ['quota', 'Quota'],
];

const shownOfAll = 30;

// allEvents returns the parts of a card of what happens to all users: what to choose, whose events arrive,
// and the list. The stream is open while the page is seen.
export function allEvents(signal) {
  const state = badge('connecting');
  const hint = h('p', { class: 'note', hidden: true });
  // Many come: they are told to nobody who has not asked (aria-live would read all of them).
  const list = h('ul', { class: 'log', 'aria-label': 'What happens' });
  const empty = h('p', { class: 'empty' }, 'Nothing has happened since this page was opened.');
  const choice = h('select', { 'aria-label': 'Kinds of events', onchange: () => begin() },
    filters.map(([value, text]) => h('option', { value }, text)));
  let open = null;
  let leftOut = null; // the line at the top, if that says what was left out
  let hovered = false;
  const held = [];

  const say = (text, kind) => {
    state.textContent = text;
    state.className = `badge ${kind}`;
  };
  const add = (line) => {
    empty.hidden = true;
    list.hidden = false;
    list.prepend(line);
    while (list.children.length > shownOfAll) list.lastChild.remove();
  };
  const line = (at, ...content) => h('li', null, h('time', { datetime: at.toISOString(), title: at.toISOString() }, clock(at)),
    h('span', { class: 'log-text' }, content));
  const show = (event, at) => {
    if (event.kind === 'left-out') {
      const n = event.changes + (leftOut ? leftOut.changes : 0);
      if (leftOut) leftOut.line.remove();
      leftOut = { changes: n, line: line(at, h('span', { class: 'note' }, `${count(n)} ${n === 1 ? 'change' : 'changes'} left out`)) };
      add(leftOut.line);
      return;
    }
    leftOut = null;
    add(line(at, badge(event.kind, kinds[event.kind] || ''), ' ',
      h('a', { href: `#/users/${event.user.id}` }, event.user.username || event.user.id), ' ', told(event), event.more ? ', and more' : ''));
  };
  const release = () => {
    hovered = false;
    for (const [event, at] of held.splice(0)) show(event, at);
  };
  list.addEventListener('pointerenter', () => { hovered = true; });
  list.addEventListener('pointerleave', release);
  list.addEventListener('focusin', () => { hovered = true; });
  list.addEventListener('focusout', release);

  const reach = (instances) => {
    say('live', 'good');
    hint.hidden = instances === 'all';
    hint.textContent = 'Only what happens at this instance arrives: events of others come through Redis.';
  };
  // One instance alone is all there is until the server says something else, which takes a moment.
  let settling = 0;
  const end = () => {
    clearTimeout(settling);
    if (open) open.abort();
    open = null;
  };
  function begin() {
    end();
    if (document.hidden || signal.aborted) return;
    held.length = 0;
    leftOut = null;
    open = new AbortController();
    const current = open.signal;
    const kindsWanted = choice.value;
    stream(kindsWanted ? `/updates?${new URLSearchParams({ kinds: kindsWanted })}` : '/updates', current, (event, at) => {
      if (current.aborted) return;
      if (event.kind === 'start' || event.kind === 'reach') {
        clearTimeout(settling);
        say('live', 'good');
        if (event.instances === 'all') reach('all');
        else settling = setTimeout(() => reach('one'), 3000);
      } else if (hovered) {
        held.push([event, at]);
        if (held.length > shownOfAll) held.shift();
      } else {
        show(event, at);
      }
    }, () => {
      clearTimeout(settling);
      say('interrupted', 'warn');
    }).then(() => {
      clearTimeout(settling);
      if (!current.aborted) say('ended', 'bad');
    });
  }
  document.addEventListener('visibilitychange', () => (document.hidden ? end() : begin()), { signal });
  signal.addEventListener('abort', end);
  list.hidden = true;
  begin();
  return { actions: [state, choice], body: [hint, empty, list] };
}
