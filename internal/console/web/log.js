// The log of this instance, which is its stream of events.

import { get } from './api.js';
import { h, replace } from './dom.js';
import { clock } from './format.js';
import { card, every } from './parts.js';

const kinds = { INFO: '', WARN: 'warn', ERROR: 'bad', DEBUG: 'quiet' };

// telling are the attributes that a short list shows.
const telling = ['user', 'username', 'mailbox', 'size', 'recipient', 'remote', 'reason', 'error', 'token', 'address', 'domain', 'to', 'version', 'count'];

// logList shows lines, the latest first.
export function logList(lines, brief = false) {
  if (!lines.length) return h('p', { class: 'empty' }, 'Nothing has happened yet.');
  return h('ul', { class: 'log' }, [...lines].reverse().map((line) => h('li', { class: kinds[line.level] ?? '' },
    h('time', { datetime: line.at, title: line.at }, clock(line.at)),
    h('span', { class: 'log-text' },
      line.level === 'INFO' ? null : h('b', null, `${line.level} `), line.text, ' ',
      line.attrs.filter((a) => a.value !== '' && (!brief || telling.includes(a.name))).map((a) => h('span', { class: 'attr' }, h('span', { class: 'attr-name' }, a.name), ` ${a.value} `))))));
}

export async function log(main, signal) {
  const body = h('div');
  const filter = h('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter the lines', oninput: () => draw() });
  const level = h('select', { 'aria-label': 'Least level', onchange: () => draw() },
    h('option', { value: '' }, 'All levels'), h('option', { value: 'WARN' }, 'Warnings and errors'), h('option', { value: 'ERROR' }, 'Errors'));
  let lines = [];
  let instance = '';
  const draw = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const levels = { '': null, WARN: ['WARN', 'ERROR'], ERROR: ['ERROR'] }[level.value];
    replace(body, logList(lines.filter((line) => {
      const text = `${line.text} ${line.attrs.map((a) => `${a.name} ${a.value}`).join(' ')}`.toLowerCase();
      return (!levels || levels.includes(line.level)) && words.every((word) => text.includes(word));
    })));
  };
  replace(main, h('h1', null, 'Log'), h('div', { class: 'toolbar' }, filter, level),
    card('Lines', { note: 'The latest 500 of this instance' }, body));
  await every(3000, signal, async () => {
    const last = lines.length ? lines[lines.length - 1].number : 0;
    let answer = await get('/log', { after: last, limit: 500 }, signal);
    if (instance && answer.instance !== instance) {
      answer = await get('/log', { limit: 500 }, signal);
      lines = [];
    }
    instance = answer.instance;
    if (!answer.lines.length && lines.length) return;
    lines = lines.concat(answer.lines).slice(-500);
    draw();
  });
}
