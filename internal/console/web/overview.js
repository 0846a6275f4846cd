// The overview: instances, live charts, storage, who has most, what happened.

import { get, has, path } from './api.js';
import { Chart } from './chart.js';
import { h, replace } from './dom.js';
import { ago, count, percent, rate, size, span } from './format.js';
import { badge, bar, card, every, failure, table } from './parts.js';
import { logList } from './log.js';
import { signinTable } from './signins.js';
import { allEvents, allUpdatesRoute } from './stream.js';

const userLink = (u) => (u.username ? h('a', { href: `#/users/${u.id}` }, u.username) : h('span', { class: 'note' }, 'deleted'));

function charts() {
  return [
    new Chart({ title: 'Deliveries', unit: '/s', format: rate, series: [{ key: 'deliveries', name: 'Deliveries' }] }),
    new Chart({ title: 'Mail received', unit: '/s', format: size, binary: true, least: 1024, series: [{ key: 'receivedBytes', name: 'Received' }] }),
    new Chart({ title: 'IMAP commands', unit: '/s', format: rate, series: [{ key: 'imapCommands', name: 'Commands' }] }),
    new Chart({ title: 'Sent to IMAP clients', unit: '/s', format: size, binary: true, least: 1024, series: [{ key: 'imapBytes', name: 'Sent' }] }),
    new Chart({
      title: 'Connections', format: count, least: 5,
      series: [{ key: 'imapConnections', name: 'IMAP' }, { key: 'mailConnections', name: 'LMTP and SMTP' }],
    }),
    new Chart({ title: 'Database commands', unit: '/s', format: rate, series: [{ key: 'databaseCommands', name: 'Commands' }] }),
  ];
}

export async function overview(main, signal) {
  const instances = card('Instances', { class: 'wide' });
  const instanceBody = h('div');
  instances.append(instanceBody);
  const all = charts();
  signal.addEventListener('abort', () => all.forEach((chart) => chart.end()));
  const live = card('Activity', { class: 'wide', note: 'This instance, every 5 seconds' }, h('div', { class: 'charts' }, all.map((c) => c.element)));
  const storage = h('div', { class: 'wide grid' });
  const events = has(allUpdatesRoute) ? allEvents(signal) : null;
  const recent = events ? card('Recent events', { class: 'wide', note: 'Of all users, on all instances', actions: events.actions }, events.body) : null;
  const warned = has('GET /log') ? card('Warnings', { class: has('GET /authlog') ? '' : 'wide', note: 'This instance', actions: h('a', { href: '#/log' }, 'Whole log') }) : null;
  const warnedBody = h('div');
  const failed = has('GET /authlog') ? card('Failed sign-ins', { actions: h('a', { href: '#/signins' }, 'All') }) : null;
  const failedBody = h('div');
  if (warned) warned.append(warnedBody);
  if (failed) failed.append(failedBody);
  replace(main, h('h1', null, 'Overview'), h('div', { class: 'grid' }, instances, live, recent, storage, warned, failed));

  every(10000, signal, async () => {
    try {
      const answer = await get('/instances', null, signal);
      replace(instanceBody, instanceTable(answer.instances));
    } catch (error) {
      if (!signal.aborted) replace(instanceBody, failure(error));
    }
  });

  let samples = [];
  let instance = '';
  every(5000, signal, async () => {
    // Behind a balancer another instance may answer: its samples are other ones.
    let answer = await get('/activity', { after: samples.length ? samples[samples.length - 1].at : '' }, signal);
    if (instance && answer.instance !== instance) {
      answer = await get('/activity', null, signal);
      samples = [];
    }
    instance = answer.instance;
    samples = samples.concat(answer.samples).slice(-180);
    all.forEach((chart) => chart.update(samples));
  });

  every(20000, signal, async () => {
    const answer = await get('/storage', null, signal);
    replace(storage, storageCards(answer));
    if (answer.running && !answer.figures) setTimeout(() => refreshStorage(storage, signal), 1500);
  });
  let lines = [];
  let logged = '';
  if (warned) {
    every(5000, signal, async () => {
      let answer = await get('/log', { limit: 500, after: lines.length ? lines[lines.length - 1].number : '' }, signal);
      if (logged && answer.instance !== logged) {
        answer = await get('/log', { limit: 500 }, signal);
        lines = [];
      }
      if (logged === answer.instance && !answer.lines.length) return;
      logged = answer.instance;
      lines = lines.concat(answer.lines).slice(-500);
      const bad = lines.filter((line) => line.level === 'WARN' || line.level === 'ERROR').slice(-8);
      replace(warnedBody, bad.length ? logList(bad, true) : h('p', { class: 'empty' }, 'No warning among the latest 500 lines of the log.'));
    });
  }
  if (failed) {
    every(15000, signal, async () => replace(failedBody,
      signinTable((await get('/authlog', { result: 'failed', limit: 10 }, signal)).logins, true)));
  }
}

async function refreshStorage(storage, signal) {
  if (signal.aborted) return;
  const answer = await get('/storage', null, signal);
  replace(storage, storageCards(answer));
  if (answer.running && !answer.figures) setTimeout(() => refreshStorage(storage, signal).catch(() => {}), 1500);
}

function instanceTable(list) {
  const figure = (name, show) => (i) => (i.figures && i.figures[name] !== undefined ? show(i.figures[name]) : '–');
  return table('Instances', [
    { title: 'Instance', cell: (i) => [h('span', { class: 'strong' }, i.host), h('span', { class: 'note' }, ` ${i.pid}`), i.self ? [' ', badge('this one')] : null] },
    { title: 'State', cell: (i) => (i.silent ? badge('silent', 'bad') : badge('running', 'good')) },
    { title: 'Version', cell: (i) => i.version || '–' },
    { title: 'Running for', class: 'number', cell: (i) => span((Date.parse(i.seen) - Date.parse(i.since)) / 1000) },
    { title: 'Heartbeat', class: 'number', cell: (i) => ago(i.seen) },
    { title: 'IMAP', class: 'number', cell: figure('imapConnections', count) },
    { title: 'LMTP, SMTP', class: 'number', cell: figure('mailConnections', count) },
    { title: 'Deliveries/s', class: 'number', cell: figure('deliveries', rate) },
    { title: 'Commands/s', class: 'number', cell: figure('imapCommands', rate) },
    { title: 'Memory', class: 'number', cell: figure('memory', size) },
    { title: 'CPU', class: 'number', cell: figure('processor', (n) => percent(n, 1)) },
  ], list);
}

function storageCards({ figures, running }) {
  if (!figures) {
    return card('Storage', { class: 'wide' }, h('p', { class: 'empty' },
      running ? 'The first figures are being taken…' : 'There are no figures yet. Another instance may be taking them.'));
  }
  const note = `Taken ${ago(figures.taken)}${running ? ', taking new ones' : ''}`;
  const sum = (key) => figures.classes.reduce((n, c) => n + c[key], 0);
  const [received, decoded, once, stored] = ['received', 'decoded', 'once', 'stored'].map(sum);
  const steps = [
    ['Received', received, 'all messages, as clients see them', 'step-0'],
    ['Decoded', decoded, `${percent(received - decoded, received)} less without base64 and the like`, 'step-1'],
    ['Kept once', once, `${percent(decoded - once, decoded)} saved by deduplication`, 'step-2'],
    ['Compressed', stored, `${percent(once - stored, once)} saved by compression`, 'step-3'],
  ];
  const facts = [
    [count(figures.users), 'users'], [count(figures.mailboxes), 'mailboxes'], [count(figures.messages), 'messages'],
    [size(figures.received), 'received'], [figures.stored ? size(figures.stored) : '–', 'in the database'],
    [percent(received - stored, received), 'saved'],
  ];
  const sampled = figures.sampled < figures.contents
    ? `By a sample of ${count(figures.sampled)} of ${count(figures.contents)} contents.` : 'Of all contents, without the documents around them.';
  return [
    card('Storage', { class: 'wide', note },
      h('dl', { class: 'facts' }, facts.map(([value, name]) => h('div', null, h('dt', null, name), h('dd', null, value)))),
      h('div', { class: 'halves' },
        h('ul', { class: 'steps' }, steps.map(([name, value, text, kind]) => h('li', null,
          h('span', { class: 'step-name' }, name), h('span', { class: 'number' }, size(value)), bar(value, received, kind), h('small', null, text)))),
        h('div', null, table('Storage by class', [
          { title: 'Class', cell: (c) => c.name },
          { title: 'Received', class: 'number', cell: (c) => size(c.received) },
          { title: 'Kept once', class: 'number', cell: (c) => size(c.once) },
          { title: 'Stored', class: 'number', cell: (c) => size(c.stored) },
          { title: 'Of received', class: 'number', cell: (c) => [bar(c.stored, c.received), h('span', { class: 'share' }, percent(c.stored, c.received))] },
        ], figures.classes.filter((c) => c.received > 0), 'No mail yet.'))),
      h('p', { class: 'note' }, sampled)),
    card('Largest users', { note }, table('Largest users', [
      { title: 'User', cell: userLink },
      { title: 'Messages', class: 'number', cell: (u) => count(u.messages) },
      { title: 'Size', class: 'number', cell: (u) => size(u.size) },
      { title: '', class: 'bar-cell', cell: (u) => bar(u.size, figures.largestUsers[0].size) },
    ], figures.largestUsers.slice(0, 10), 'No mail yet.')),
    card('Largest mailboxes', { note }, table('Largest mailboxes', [
      { title: 'Mailbox', cell: (m) => h('a', { href: `#${path('mail', m.id, m.mailbox)}` }, m.path) },
      { title: 'User', cell: userLink },
      { title: 'Messages', class: 'number', cell: (m) => count(m.messages) },
      { title: 'Size', class: 'number', cell: (m) => size(m.size) },
    ], figures.largestMailboxes.slice(0, 10), 'No mail yet.')),
  ];
}
