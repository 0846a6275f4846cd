// Pieces of which views are made.

import { h, replace } from './dom.js';
import { count, percent, size } from './format.js';

// notice tells what happened, for some seconds.
export function notice(text, kind = 'good') {
  const entry = h('p', { class: `notice ${kind}` }, text);
  const box = document.getElementById('notices');
  while (box.children.length > 2) box.firstChild.remove();
  box.append(entry);
  setTimeout(() => entry.remove(), kind === 'bad' ? 12000 : 6000);
}

// card is a part of a view with a heading.
export function card(title, attributes, ...children) {
  const { actions, note, ...rest } = attributes || {};
  return h('section', { ...rest, class: `card ${rest.class || ''}`, 'aria-label': title },
    h('header', null, h('h2', null, title), note ? h('span', { class: 'note' }, note) : null,
      actions ? h('div', { class: 'actions' }, actions) : null),
    ...children);
}

// table is a table of rows; columns are {title, cell(row), class}.
export function table(label, columns, rows, empty = 'Nothing to show.') {
  if (!rows.length) return h('p', { class: 'empty' }, empty);
  return h('div', { class: 'scroll', role: 'region', 'aria-label': `Table: ${label}`, tabindex: '0' },
    h('table', null,
      h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col', class: c.class },
        c.title || h('span', { class: 'unseen-text' }, c.class === 'bar-cell' ? 'Share' : 'Actions'))))),
      h('tbody', null, rows.map((row) => h('tr', null, columns.map((c) => h('td', { class: c.class }, c.cell(row))))))));
}

// bar shows a part of a whole. What it means stands beside it as text.
export function bar(part, whole, kind = '') {
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  const inner = h('span', { class: `bar-fill ${kind}` });
  inner.style.setProperty('width', `${(100 * share).toFixed(2)}%`);
  return h('span', { class: 'meter', 'aria-hidden': 'true' }, inner);
}

// usage shows an amount and its limit.
export function usage(amount, shown = size) {
  if (amount.limit === null) return h('span', { class: 'usage' }, bar(0, 1), h('span', { class: 'number' }, shown(amount.used)));
  const share = amount.used / amount.limit;
  return h('span', { class: 'usage' }, bar(amount.used, amount.limit, share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : ''),
    h('span', { class: 'number' }, `${shown(amount.used)} of ${shown(amount.limit)}`,
      h('span', { class: 'note' }, ` ${percent(amount.used, amount.limit)}`)));
}

export const messages = (n) => `${count(n)} ${n === 1 ? 'message' : 'messages'}`;

export function badge(text, kind = '') {
  return h('span', { class: `badge ${kind}` }, text);
}

export const state = (name) => badge(name, { active: 'good', suspended: 'warn', deleted: 'bad' }[name] || '');

// field is a labelled input.
let fields = 0;
export function field(label, attributes, hint) {
  fields += 1;
  const id = `field-${fields}`;
  const { options, ...rest } = attributes;
  const input = options
    ? h('select', { id, ...rest }, options.map(([value, text]) => h('option', { value }, text)))
    : h('input', { id, autocomplete: 'off', spellcheck: 'false', ...rest });
  if (hint) input.setAttribute('aria-describedby', `${id}-hint`);
  return h('div', { class: 'field' }, h('label', { for: id }, label), input,
    hint ? h('small', { id: `${id}-hint` }, hint) : null);
}

// ask shows a dialog with a form. submit gets the form's values; what it throws is shown.
export function ask(title, { text, fields: inputs = [], action = 'Save', danger = false, submit }) {
  const failed = h('p', { class: 'failed', role: 'alert', hidden: true });
  const button = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, action);
  const dialog = h('dialog', { 'aria-label': title });
  const form = h('form', {
    method: 'dialog',
    onsubmit: async (event) => {
      event.preventDefault();
      failed.hidden = true;
      button.disabled = true;
      try {
        await submit(Object.fromEntries(new FormData(form)), form);
        dialog.close();
      } catch (error) {
        failed.textContent = error.message;
        failed.hidden = false;
      }
      button.disabled = false;
    },
  }, h('h2', null, title), text ? h('p', null, text) : null, inputs, failed,
  h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), button));
  dialog.append(form);
  return show(dialog);
}

// tell shows a dialog with something to read, such as a secret that is told once.
export function tell(title, ...content) {
  const dialog = h('dialog', { 'aria-label': title });
  dialog.append(h('h2', null, title), ...content.flat(),
    h('div', { class: 'actions' }, h('button', { type: 'button', class: 'primary', autofocus: true, onclick: () => dialog.close() }, 'Close')));
  return show(dialog);
}

function show(dialog) {
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// secret shows a secret with a button that copies it.
export function secret(value) {
  const box = h('input', { type: 'text', class: 'secret', readonly: true, value, 'aria-label': 'The secret' });
  return h('div', { class: 'secret-row' }, box, h('button', {
    type: 'button',
    onclick: async () => {
      box.select();
      await navigator.clipboard.writeText(value).catch(() => {});
      notice('Copied.');
    },
  }, 'Copy'));
}

// act calls something that a button does, and tells when it fails.
export function act(what, done) {
  return async (event) => {
    const button = event && event.currentTarget;
    if (button) button.disabled = true;
    try {
      await what();
      if (done) notice(done);
    } catch (error) {
      if (error.name !== 'AbortError') notice(error.message, 'bad');
    }
    if (button) button.disabled = false;
  };
}

// failure shows why something could not be loaded.
export function failure(error, again) {
  return h('div', { class: 'failed', role: 'alert' }, h('p', null, error.message),
    again ? h('button', { type: 'button', onclick: again }, 'Try again') : null);
}

// pager has the buttons of a list that is read page by page.
export function pager(pages, more, go) {
  if (pages.length === 1 && !more) return null;
  return h('div', { class: 'pager' },
    h('button', { type: 'button', disabled: pages.length <= 1, onclick: () => { pages.pop(); go(); } }, 'Previous'),
    h('span', { class: 'note' }, `Page ${pages.length}`),
    h('button', { type: 'button', disabled: !more, onclick: () => { pages.push(more); go(); } }, 'Next'));
}

// every calls load at once, and again each time so many milliseconds after it has ended, as long as
// the page is seen.
export function every(milliseconds, signal, load) {
  let timer = 0;
  const run = async () => {
    if (signal.aborted) return;
    if (!document.hidden) await load().catch(() => {});
    if (!signal.aborted) timer = setTimeout(run, milliseconds);
  };
  const seen = () => {
    if (document.hidden || signal.aborted) return;
    clearTimeout(timer);
    run();
  };
  document.addEventListener('visibilitychange', seen, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  return run();
}

export { replace };
