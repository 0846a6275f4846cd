'use strict';
const { open, check, equal } = require('browser');

open(async ({ page, url }) => {
  await page.goto(url);
  equal(await page.title(), 'works', 'the title');
  const event = await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource('/events');
    source.onmessage = (e) => { source.close(); resolve([e.lastEventId, e.data]); };
  }));
  equal(event, ['7', 'one'], 'the event');
  check(require('axe-core').source.length > 0, 'axe-core is there');
});
