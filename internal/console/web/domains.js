// Domains: their default limits, catch-all users and aliases.

import { call, get } from './api.js';
import { h, replace } from './dom.js';
import { count, size } from './format.js';
import { ask, card, field, notice, pager, table } from './parts.js';

const limit = (n, shown) => (n === null ? 'default' : n < 0 ? 'unlimited' : shown(n));
const typed = (n) => (n === null ? '' : n < 0 ? 'unlimited' : String(n));
const wanted = (text) => (/^\d+$/.test(text) ? Number(text) : text || 'default');

export async function domains(main, signal) {
  const body = h('div');
  const pages = [''];
  const load = async () => {
    const answer = await get('/domains', { after: pages[pages.length - 1] }, signal);
    replace(body, table('Domains', [
      { title: 'Domain', cell: (d) => h('span', { class: 'strong' }, d.domain) },
      { title: 'Users', class: 'number', cell: (d) => `${count(d.users)}${d.moreUsers ? '+' : ''}` },
      { title: 'Storage of each', class: 'number', cell: (d) => limit(d.quota.storage, size) },
      { title: 'Messages of each', class: 'number', cell: (d) => limit(d.quota.messages, count) },
      { title: 'Catch-all', cell: (d) => d.catchAll || '–' },
      { title: 'Alias of', cell: (d) => d.aliasOf || '–' },
      {
        title: '', class: 'end',
        cell: (d) => h('button', { type: 'button', class: 'quiet', 'aria-label': `Change ${d.domain}`, onclick: () => change(d) }, 'Change'),
      },
    ], answer.domains, 'No domains yet.'), pager(pages, answer.next, load));
  };
  const change = (d) => ask(d ? d.domain : 'New domain', {
    fields: [
      d ? null : field('Domain', { name: 'domain', required: true, autofocus: true }),
      field('Storage of each user', { name: 'storage', value: d ? typed(d.quota.storage) : '' }, 'Such as 10GiB; “unlimited”, or empty for the default.'),
      field('Messages of each user', { name: 'messages', value: d ? typed(d.quota.messages) : '' }, 'A number; “unlimited”, or empty for the default.'),
      field('Catch-all', { name: 'catchAll', value: d ? d.catchAll || '' : '' }, 'The user who gets mail for addresses that nobody has.'),
      field('Alias of', { name: 'aliasOf', value: d ? d.aliasOf || '' : '' }, 'Another domain, which has this one’s mail.'),
    ].filter(Boolean),
    submit: async (values) => {
      // What stays as it is is left out.
      const body = {};
      if (!d || values.storage !== typed(d.quota.storage) || values.messages !== typed(d.quota.messages)) {
        body.quota = { storage: wanted(values.storage), messages: wanted(values.messages) };
      }
      for (const name of ['catchAll', 'aliasOf']) {
        if (values[name] !== (d ? d[name] || '' : '')) body[name] = values[name] || null;
      }
      const name = d ? d.domain : values.domain.trim();
      await call('PATCH', `/domains/${encodeURIComponent(name)}`, { body });
      notice(`${name} was changed.`);
      await load();
    },
  });
  replace(main, h('h1', null, 'Domains'),
    card('All domains', { actions: h('button', { type: 'button', onclick: () => change(null) }, 'Set up…') }, body));
  await load();
}
