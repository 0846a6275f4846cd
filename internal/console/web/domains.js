// Domains.

import { get } from './api.js';
import { h, replace } from './dom.js';
import { card, pager, table } from './parts.js';

export async function domains(main, signal) {
  const body = h('div');
  const pages = [''];
  const load = async () => {
    const answer = await get('/domains', { limit: 100, after: pages[pages.length - 1] }, signal);
    const name = (d) => d.name || d.domain || String(d);
    replace(body, table('Domains', [{ title: 'Domain', cell: name }], answer.domains), pager(pages, answer.next, load));
  };
  replace(main, h('h1', null, 'Domains'), card('All domains', null, body));
  await load();
}
