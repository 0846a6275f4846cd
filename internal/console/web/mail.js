// The mail of a user: mailboxes, lists, search, messages. Good enough to see that mail arrived.

import { call, download, get, has, path, request } from './api.js';
import { h, mailFrame, marked, replace } from './dom.js';
import { count, moment, size } from './format.js';
import { act, badge, card, every, failure, messages, notice } from './parts.js';
import { stream, updatesRoute } from './stream.js';

const pageSize = 50;
const maxSource = 256 * 1024;
const maxImages = 4 * 1024 * 1024;

const sender = (list) => (list && list.length ? list[0].name || list[0].address : '');
const people = (list) => (list || []).map((a) => (a.name ? `${a.name} <${a.address}>` : a.address)).join(', ');

export async function mail(main, signal, id, mailbox, uid) {
  const where = path('users', id);
  const [owner, boxes] = await Promise.all([get(where, null, signal), get(`${where}/mailboxes`, null, signal)]);
  const inbox = boxes.mailboxes.find((b) => b.path === 'INBOX') || boxes.mailboxes[0];
  const found = mailbox === 'search';
  const box = found ? null : boxes.mailboxes.find((b) => b.id === mailbox) || inbox;
  const link = (b, n) => `#${n ? path('mail', id, b.id, String(n)) : path('mail', id, b.id)}`;
  const list = h('div', { class: 'mail-list' });
  const reader = h('div', { class: 'mail-reader' });
  const folders = h('nav', { class: 'folders', 'aria-label': 'Mailboxes' });
  const query = found ? uid || '' : '';
  const search = h('input', { type: 'search', placeholder: 'Search all mail', value: query, 'aria-label': 'Search the mail of this user' });
  const form = h('form', {
    role: 'search', onsubmit: (event) => {
      event.preventDefault();
      location.hash = search.value.trim() ? `#${path('mail', id, 'search', search.value.trim())}` : `#${path('mail', id)}`;
    },
  }, search);
  const drawFolders = (all) => replace(folders, all.map((b) => h('a', {
    href: link(b), 'aria-current': box && b.id === box.id ? 'page' : null,
  }, h('span', { class: 'folder-name' }, b.path), h('span', { class: `number ${b.unseen ? 'strong' : ''}` },
    b.unseen ? `${count(b.unseen)} / ${count(b.messages)}` : count(b.messages)))));
  drawFolders(boxes.mailboxes);

  replace(main,
    h('p', { class: 'crumbs' }, h('a', { href: '#/users' }, 'Users'), ' / ', h('a', { class: 'back', href: `#/users/${owner.id}` }, owner.username), ' / '),
    h('div', { class: 'head' }, h('h1', null, 'Mail'), h('div', { class: 'actions' }, form)),
    h('div', { class: 'mail-view' }, card('Mailboxes', { class: 'folder-card' }, folders),
      h('div', { class: 'mail-main' }, !found && uid ? null : card(found ? `Search: ${query}` : box.path,
        { note: found ? null : `${messages(box.messages)}, ${size(box.size)}` }, list), reader)));

  if (found) return showFound(list, where, id, query, boxes.mailboxes, signal);
  if (uid) return showMessage(reader, `${where}${path('mailboxes', box.id, 'messages', uid)}`, link(box), signal);

  // The list: the newest page stays current, later pages are added below it.
  const rows = h('ul', { class: 'mails' });
  const more = h('button', { type: 'button', hidden: true }, 'Older');
  replace(list, rows, more);
  const at = `${where}${path('mailboxes', box.id, 'messages')}`;
  let older = [];
  let next = '';
  let modseq = -1;
  const refresh = async () => {
    const page = await get(at, { limit: pageSize }, signal);
    if (page.modseq === modseq) return;
    if (modseq >= 0) drawFolders((await get(`${where}/mailboxes`, null, signal)).mailboxes);
    modseq = page.modseq;
    older = [];
    next = page.next || '';
    draw(page.messages);
  };
  let newest = [];
  const draw = (first) => {
    newest = first;
    const all = newest.concat(older);
    // The row that has the focus keeps it.
    const focused = document.activeElement && document.activeElement.dataset.uid;
    replace(rows, all.length ? all.map((m) => row(m, link(box, m.uid))) : h('li', { class: 'empty' }, 'No mail.'));
    if (focused) rows.querySelector(`[data-uid="${focused}"]`)?.focus();
    more.hidden = !next;
  };
  more.addEventListener('click', act(async () => {
    const page = await get(at, { limit: pageSize, after: next }, signal);
    older = older.concat(page.messages);
    next = page.next || '';
    draw(newest);
  }));
  await refresh();
  follow(where, signal, refresh);
}

// follow calls refresh when the user's mail changes: told by the stream of events, and by looking now
// and then, for the case that the stream is refused.
function follow(where, signal, refresh) {
  const streams = has(updatesRoute);
  if (streams) stream(`${where}/updates`, signal, () => refresh().catch(() => {}));
  setTimeout(() => { if (!signal.aborted) every(streams ? 15000 : 4000, signal, refresh); }, 2000);
}

function row(m, href) {
  const flags = m.flags || [];
  const unseen = !flags.includes('\\Seen');
  const e = m.envelope || {};
  return h('li', null, h('a', { href, 'data-row': true, 'data-uid': String(m.uid), class: `mail-row ${unseen ? 'unseen' : ''}` },
    h('span', { class: 'mail-dot', 'aria-hidden': 'true' }),
    h('span', { class: 'mail-from' }, unseen ? h('span', { class: 'unseen-text' }, 'Unread: ') : null, sender(e.from) || 'No sender'),
    h('span', { class: 'mail-subject' }, h('span', { class: 'subject' }, e.subject || 'No subject'), ' ', h('span', { class: 'note' }, m.preview || '')),
    h('span', { class: 'mail-marks' }, flags.includes('\\Flagged') ? badge('flagged', 'warn') : null, m.hasAttachments ? badge('file') : null),
    h('span', { class: 'number note' }, size(m.size)), h('time', { datetime: m.date, title: moment(m.date, true) }, moment(m.date))));
}

async function showFound(list, where, id, query, boxes, signal) {
  const rows = h('ul', { class: 'mails' });
  const more = h('button', { type: 'button', hidden: true }, 'More');
  replace(list, rows, more);
  let next = '';
  const load = async () => {
    const page = await get(`${where}/search`, { q: query, limit: 50, after: next }, signal);
    const idOf = (name) => (boxes.find((b) => b.path === name) || { id: name }).id;
    rows.append(...page.results.map((m) => h('li', null, h('a', { href: `#${path('mail', id, idOf(m.mailbox), String(m.uid))}`, 'data-row': true, class: 'mail-row' },
      h('span', { class: 'mail-dot', 'aria-hidden': 'true' }), h('span', { class: 'mail-from' }, m.from || 'No sender'),
      h('span', { class: 'mail-subject' }, h('span', { class: 'subject' }, marked(m.subject || 'No subject')), ' ', h('span', { class: 'note' }, marked(m.snippet || ''))),
      h('span', { class: 'mail-marks' }, badge(m.mailbox)), h('span', { class: 'number note' }, size(m.size)),
      h('time', { datetime: m.date, title: moment(m.date, true) }, moment(m.date))))));
    next = page.next || '';
    more.hidden = !next;
    if (!rows.children.length) rows.append(h('li', { class: 'empty' }, 'Nothing was found.'));
  };
  more.addEventListener('click', act(load));
  try {
    await load();
  } catch (error) {
    replace(list, failure(error));
  }
}

async function showMessage(reader, where, back, signal) {
  const m = await get(where, null, signal);
  const e = m.envelope || {};
  const head = [['From', people(e.from)], ['To', people(e.to)], ['Cc', people(e.cc)], ['Reply to', people(e.replyTo)], ['Date', e.date || ''],
    ['Arrived', moment(m.date, true)], ['Message-ID', e.messageId || '']].filter(([, value]) => value);
  const body = h('div', { class: 'mail-body' });
  const tabs = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Show the message as' });
  const show = async (kind) => {
    for (const button of tabs.children) button.setAttribute('aria-pressed', String(button.dataset.kind === kind));
    if (kind === 'html') replace(body, mailFrame(m.html, await ownImages(where, m, signal)));
    else if (kind === 'text') replace(body, h('pre', { tabindex: '0', 'aria-label': 'Text of the message' }, m.text || 'No text.'));
    else replace(body, await source(where, m, signal));
  };
  const kinds = [m.html ? ['html', 'HTML'] : null, ['text', 'Text'], ['source', 'Source']].filter(Boolean);
  replace(tabs, kinds.map(([kind, name]) => h('button', { type: 'button', 'data-kind': kind, 'aria-pressed': 'false', onclick: act(() => show(kind)) }, name)));
  const seen = m.flags.includes('\\Seen');
  replace(reader, h('article', { class: 'card', 'aria-label': 'Message' },
    h('header', null, h('a', { class: 'back button', href: back }, 'Back'), h('h2', { class: 'mail-title' }, e.subject || 'No subject'),
      h('div', { class: 'actions' }, m.flags.filter((f) => f !== '\\Seen').map((f) => badge(f.replace('\\', ''))), tabs,
        h('button', {
          type: 'button', onclick: act(async () => {
            await call('PATCH', where, { body: seen ? { remove: ['\\Seen'] } : { add: ['\\Seen'] } });
            await showMessage(reader, where, back, signal);
          }),
        }, seen ? 'Mark as unread' : 'Mark as read'))),
    h('dl', { class: 'pairs' }, head.map(([name, value]) => [h('dt', null, name), h('dd', null, value)])),
    m.attachments.length ? h('ul', { class: 'attachments', 'aria-label': 'Attachments' }, m.attachments.map((a) => h('li', null, h('button', {
      type: 'button', onclick: act(() => download(`${where}${path('parts', a.part)}`, a.name || `part-${a.part}`)),
    }, h('span', { class: 'strong' }, a.name || `Part ${a.part}`), h('span', { class: 'note' }, ` ${a.type}, ${size(a.size)}`))))) : null,
    m.truncated ? h('p', { class: 'note' }, 'Something was left out because of its size.') : null, body));
  await show(kinds[0][0]);
}

// ownImages returns the images that the message has for its HTML, as data addresses by content id.
async function ownImages(where, m, signal) {
  const images = new Map();
  let room = maxImages;
  for (const a of m.attachments) {
    if (!a.inline || !a.contentId || !/^image\/(png|jpeg|gif|webp)$/.test(a.type) || a.size > room) continue;
    room -= a.size;
    const part = await request('GET', `${where}${path('parts', a.part)}`, { signal });
    const octets = new Uint8Array(await part.arrayBuffer());
    let text = '';
    for (let i = 0; i < octets.length; i += 8192) text += String.fromCharCode(...octets.subarray(i, i + 8192));
    images.set(a.contentId, `data:${a.type};base64,${btoa(text)}`);
  }
  return images;
}

// source shows the beginning of a message as it is.
async function source(where, m, signal) {
  const response = await request('GET', `${where}/source`, { signal, headers: { Range: `bytes=0-${maxSource - 1}` } });
  const octets = new Uint8Array(await response.arrayBuffer());
  const save = h('button', {
    type: 'button', onclick: act(async () => { await download(`${where}/source`, `message-${m.uid}.eml`); notice('Saved.'); }),
  }, 'Save as a file');
  return [h('p', { class: 'note' }, octets.length < m.size ? `The first ${size(octets.length)} of ${size(m.size)}. ` : `${size(m.size)}. `, save),
    h('pre', { class: 'source', tabindex: '0', 'aria-label': 'Source of the message' }, new TextDecoder('utf-8').decode(octets))];
}
