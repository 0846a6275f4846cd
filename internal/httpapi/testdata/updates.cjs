// A page follows the mail of a user by an EventSource, over connections that break again and again.
'use strict';

const { open, equal, check, until } = require('browser');

open(async ({ page, url }) => {
  const mails = Number(process.env.GADWALL_MAILS);
  await page.goto(`${url}/?mails=${mails}`);
  await until('the last event', () => page.evaluate(() => window.finished));
  const { told, starts, cuts, resyncs } = await page.evaluate(() => (
    { told: window.told, starts: window.starts, cuts: window.cuts, resyncs: window.resyncs }));
  const news = told.filter((e) => e.kind === 'new');
  equal(news.map((e) => e.message.subject), Array.from({ length: mails }, (_, i) => String(i + 1)), 'new mail');
  equal(news[0].message.from, [{ name: 'Ada', address: 'ada@example.com' }], 'from');
  equal(news[0].mailbox, { id: 'F1', path: 'INBOX' }, 'mailbox');
  // That a message was marked before it went is told to a stream that looks in between.
  const after = told.slice(mails).filter((e) => e.kind !== 'flags');
  equal(after.map((e) => e.kind), ['moved', 'junk', 'expunged'], 'what follows');
  equal(after[0].from.uids, [1], 'moved');
  equal(after[2].uids, [2], 'expunged');
  check(starts >= 1 && resyncs === 0, `${starts} starts, ${resyncs} resyncs`);
  check(cuts >= 3, `the connection broke ${cuts} times only`);
  console.log(`${told.length} events over ${cuts + 1} connections`);
});
