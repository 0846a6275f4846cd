// Uses the console as an operator does. The steps rely on one another.
'use strict';

const net = require('net');
const axe = require('axe-core').source;
const { open, check, equal, until, screenshot } = require('browser');

const token = process.env.CONSOLE_TOKEN;

// deliver sends a message over LMTP.
async function deliver(to, message) {
  const [, host, port] = /^(.*):(\d+)$/.exec(process.env.GADWALL_LMTP);
  const socket = net.connect(Number(port), host);
  socket.setEncoding('utf8');
  const data = message.replace(/\r?\n/g, '\r\n').replace(/^\./gm, '..');
  const steps = ['LHLO test', 'MAIL FROM:<sender@example.net>', `RCPT TO:<${to}>`, 'DATA', `${data}\r\n.`, 'QUIT'];
  await new Promise((resolve, reject) => {
    let text = '';
    socket.on('error', reject);
    socket.on('close', () => (steps.length ? reject(new Error(`LMTP ended: ${text}`)) : resolve()));
    socket.on('data', (piece) => {
      text += piece;
      while (/^\d{3} .*\r\n/m.test(text)) {
        const end = text.search(/^\d{3} .*\r\n/m);
        const line = text.slice(end, text.indexOf('\r\n', end));
        text = text.slice(text.indexOf('\r\n', end) + 2);
        if (/^[45]/.test(line)) { reject(new Error(`LMTP: ${line}`)); socket.destroy(); return; }
        if (steps.length) socket.write(`${steps.shift()}\r\n`);
      }
    });
  });
}

const hostile = `From: "<img src=x onerror=window.pwned=1>" <evil@example.net>
To: ada@example.com
Subject: <script>window.pwned=1</script> hello
Message-ID: <hostile@example.net>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<html><head><style>@import url(http://tracker.example/style.css);</style></head>
<body onload="parent.pwned=1"><h1 style="color:red">Invoice 4711</h1><script>parent.pwned=1</script>
<img src="http://tracker.example/pixel.gif" alt="a pixel"><img src="cid:own" alt="own"><img src="x" onerror="parent.pwned=1">
<a href="javascript:parent.pwned=1">click</a><form action="http://tracker.example/"><input name=q></form>
<iframe src="http://tracker.example/frame"></iframe><p style="background:url(http://tracker.example/bg.png)">text</p>
<svg onload="parent.pwned=1"></svg><link rel=stylesheet href="http://tracker.example/link.css"></body></html>
--b
Content-Type: text/plain; name="<b>x<b>.txt"
Content-Disposition: attachment; filename="<b>x<b>.txt"

contents of the attachment
--b
Content-Type: image/gif
Content-ID: <own>
Content-Transfer-Encoding: base64

R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs=
--b--
`;

// pictures are for docs/console.md: the activity in them is made up, since the server has just begun.
async function pictures(page, url) {
  if (!process.env.GADWALL_TEST_SCREENSHOTS) return;
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.route('**/activity*', async (route) => {
    const answer = await (await route.fetch()).json();
    const now = Date.now();
    answer.samples = Array.from({ length: 180 }, (_, i) => {
      const wave = 1 + 0.35 * Math.sin(i / 17) + 0.18 * Math.sin(i / 3.1) + 0.12 * Math.sin(i * 1.7);
      return {
        ...answer.samples[0], at: new Date(now - (179 - i) * 5000).toISOString(),
        deliveries: 42 * wave, receivedBytes: 3.1e6 * wave * (1 + 0.3 * Math.sin(i / 2.3)), imapCommands: 310 * (0.6 + wave / 2),
        imapBytes: 7.6e6 * (0.4 + wave / 1.7), imapConnections: Math.round(820 + 60 * Math.sin(i / 40) + 9 * wave),
        mailConnections: Math.round(24 * wave), databaseCommands: 640 * wave,
      };
    });
    if (new URL(route.request().url()).search) answer.samples = answer.samples.slice(-1);
    await route.fulfill({ json: answer });
  });
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto(`${url}/#/users`);
    await page.goto(`${url}/#/overview`);
    await page.getByText('Kept once').first().waitFor();
    await until('the chart', async () => /now/.test(await page.locator('svg.chart').last().getAttribute('aria-label')));
    for (const [to, subject] of [['ada@example.com', 'Minutes of Monday'], ['barbara@example.net', 'The data is abstract'],
      ['grace@example.com', 'A moth in relay 70']]) {
      await deliver(to, `From: Alan <alan@example.com>\nSubject: ${subject}\n\nhello\n`);
      await page.getByRole('region', { name: 'Recent events' }).getByText(subject).waitFor();
    }
    await until('the notices to go', async () => (await page.locator('.notice').count()) === 0);
    await screenshot(page, theme === 'light' ? 'console-overview' : 'console-dark');
    await screenshot(page, `whole-${theme}`, { fullPage: true });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.unroute('**/activity*');
  await page.setViewportSize({ width: 1280, height: 560 });
  await page.goto(`${url}/#/mail/ada@example.com`);
  await page.locator('a[data-row]').first().waitFor();
  await screenshot(page, 'console-mail');
}

open(async ({ context, page, url }) => {
  const errors = [];
  const foreign = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  // A frame's attributes are no concern: nothing of theirs was loaded or run.
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (401|403|404|409|400)/.test(message.text())) errors.push(message.text());
  });
  context.on('request', (request) => {
    if (!request.url().startsWith(url) && !/^(data|blob|about):/.test(request.url())) foreign.push(request.url());
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  const heading = (name) => page.getByRole('heading', { level: 1, name }).waitFor();
  const accessible = async (what) => {
    await page.evaluate(axe);
    const found = await page.evaluate(async () => {
      const result = await axe.run(document, { iframes: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] });
      return result.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 4).map((n) => `${n.html.slice(0, 160)} (${n.any.map((a) => a.message).join('; ').slice(0, 120)})`).join(' | ')}`);
    });
    equal(found, [], `accessibility of ${what}`);
  };
  const narrow = async (what) => {
    const before = page.viewportSize();
    await page.setViewportSize({ width: 360, height: 740 });
    const over = await page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      return document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll('body *')]
        .filter((e) => e.getBoundingClientRect().right > width + 1 && !e.closest('.scroll, #nav')).slice(0, 5)
        .map((e) => `${e.tagName}.${e.className.baseVal ?? e.className} ${Math.round(e.getBoundingClientRect().right)}`);
    });
    equal(over, [], `${what} has no more than 360 pixels`);
    await screenshot(page, `narrow-${what}`);
    await page.setViewportSize(before);
  };

  // The page's policy.
  const first = await page.goto(url);
  const policy = first.headers()['content-security-policy'];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "object-src 'none'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
    check(policy.split('; ').includes(part), `the policy has ${part}`);
  }
  check(!/unsafe/.test(policy), 'the policy has nothing unsafe');

  // Login.
  await page.getByLabel('Administrator token').waitFor();
  await screenshot(page, 'login');
  await accessible('the login');
  await narrow('login');
  await page.getByLabel('Administrator token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not valid' }).waitFor();
  await page.getByLabel('Administrator token').fill(token);
  await page.keyboard.press('Enter');
  await heading('Overview');
  check(await page.evaluate((t) => sessionStorage.getItem('gadwall-token') === t && !Object.values(localStorage).includes(t)
    && !document.cookie, token), 'the token is in sessionStorage alone');
  await page.reload();
  await heading('Overview');

  // Instances and storage.
  await page.getByRole('region', { name: 'Instances' }).getByText('running', { exact: true }).waitFor();
  await page.getByText('Kept once').first().waitFor();
  await page.getByRole('region', { name: 'Largest users' }).getByText('ada@example.com').first().waitFor();
  // The charts tell of deliveries.
  const chart = page.locator('svg.chart').first();
  const most = async () => Number(/most (\d+(\.\d+)?)/.exec(await chart.getAttribute('aria-label') || '')?.[1] || 0);
  await until('the first samples', async () => /now/.test(await chart.getAttribute('aria-label')));
  equal(await most(), 0, 'deliveries before the first');
  for (let i = 0; i < 5; i += 1) await deliver('grace@example.com', `From: a@example.net\nSubject: number ${i}\n\nhello\n`);
  await until('the chart to tell of deliveries', async () => (await most()) > 0);
  // What happens is told as it happens, of all users; what mail says is text. The log's warnings have a card.
  const recent = page.getByRole('region', { name: 'Recent events' });
  await recent.getByText('live', { exact: true }).waitFor();
  await recent.getByText('number 4').waitFor();
  await deliver('edsger@example.net', 'From: Grace <grace@example.com>\nSubject: <b>Lunch</b> at noon?\n\nhello\n');
  await recent.getByText('<b>Lunch</b> at noon?').waitFor();
  await recent.getByRole('link', { name: 'edsger@example.net' }).waitFor();
  await recent.getByLabel('Kinds of events').selectOption('new');
  await recent.getByText('live', { exact: true }).waitFor();
  await page.getByRole('region', { name: 'Warnings' }).getByRole('link', { name: 'Whole log' }).waitFor();
  await chart.focus();
  await page.keyboard.press('ArrowLeft');
  await until('the keys to read the chart', async () => /\d\d:\d\d:\d\d: /.test(await page.locator('.chart-readout').first().textContent()));
  await accessible('the overview');
  await narrow('overview');

  // Keys alone: the link past the bar, views, help, a list.
  await page.goto(`${url}/#/overview`);
  await page.reload();
  await heading('Overview');
  await page.keyboard.press('Tab');
  equal(await page.evaluate(() => document.activeElement.id), 'skip', 'the first stop');
  await page.keyboard.press('Enter');
  equal(await page.evaluate(() => document.activeElement.id), 'main', 'past the bar');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await accessible('the help');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('g');
  await page.keyboard.press('u');
  await heading('Users');
  await page.getByText('hostile@example.org').waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  equal(await page.evaluate(() => document.activeElement.textContent), 'alan@example.com', 'the second row');
  await page.keyboard.press('Enter');
  await heading('alan@example.com');
  await page.keyboard.press('Escape');
  await heading('Users');
  await page.getByText('<img src=x onerror=alert(1)>').waitFor();
  await accessible('the users');
  await screenshot(page, 'users');
  await narrow('users');

  // Finding users.
  await page.keyboard.press('/');
  await page.keyboard.type('@example.net');
  await until('two users of a domain', async () => (await page.locator('a[data-row]').count()) === 2);
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type('gra');
  await until('one user', async () => (await page.locator('a[data-row]').count()) === 1);
  await page.keyboard.press('Enter');
  await heading('grace@example.com');

  // A user's life.
  const button = (name) => page.getByRole('button', { name, exact: true });
  const dialog = page.getByRole('dialog');
  await page.goto(`${url}/#/users`);
  await heading('Users');
  await button('New user').click();
  await accessible('the form of a new user');
  await screenshot(page, 'new-user');
  await dialog.getByLabel('Mail address').fill('kathleen@example.com');
  await dialog.getByLabel('Name').fill('<b>Kathleen</b>');
  await dialog.getByLabel('Password').fill('short');
  await dialog.getByRole('button', { name: 'Create' }).click();
  await dialog.getByRole('alert').waitFor();
  await dialog.getByLabel('Password').fill('long enough for all');
  await dialog.getByLabel('Storage limit').fill('2GiB');
  await dialog.getByRole('button', { name: 'Create' }).click();
  await heading('kathleen@example.com');
  await page.getByText('<b>Kathleen</b>').waitFor();
  await page.getByText('of 2.00 GiB').waitFor();
  await button('Limits…').click();
  await dialog.getByLabel('Storage').fill('3GiB');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('of 3.00 GiB').waitFor();
  await button('Add…').click();
  await dialog.getByLabel('Address').fill('kay@example.com');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await button('Remove kay@example.com').waitFor();
  await button('Remove kay@example.com').click();
  await button('Remove kay@example.com').waitFor({ state: 'detached' });
  await button('Make…').click();
  await dialog.getByLabel('What for').fill('<i>phone</i>');
  await dialog.getByRole('button', { name: 'Make' }).click();
  check((await dialog.getByLabel('The secret').inputValue()).length > 10, 'a secret');
  await dialog.getByRole('button', { name: 'Close' }).click();
  await button('Revoke <i>phone</i>').click();
  await button('Revoke <i>phone</i>').waitFor({ state: 'detached' });
  await button('Password…').click();
  await dialog.getByLabel('Password').fill('another good password');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The password was changed.').waitFor();
  await button('Suspend…').click();
  await dialog.getByRole('button', { name: 'Suspend' }).click();
  await button('Resume').click();
  await button('Suspend…').waitFor();
  await accessible('a user');
  await screenshot(page, 'user');
  await narrow('user');
  await button('Delete…').click();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await button('Bring back').click();
  await button('Delete…').click();
  await dialog.getByLabel('All mail goes for good').selectOption('at once');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await heading('Users');
  await until('the user to be gone', async () => (await page.getByText('kathleen@example.com', { exact: true }).count()) === 0);

  // Tokens.
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await heading('Tokens');
  await button('Make…').click();
  await dialog.getByLabel('What for').fill('reader');
  await dialog.getByLabel('mail:read').check();
  await dialog.getByRole('button', { name: 'Make' }).click();
  const weak = await dialog.getByLabel('The secret').inputValue();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await button('Revoke reader').waitFor();
  await accessible('the tokens');
  await narrow('tokens');

  // Domains, and sign-ins that failed.
  await page.keyboard.press('g');
  await page.keyboard.press('m');
  await heading('Domains');
  await button('Change example.net').click();
  await dialog.getByLabel('Storage of each user').fill('5GiB');
  await dialog.getByLabel('Catch-all').fill('barbara@example.net');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('row', { name: /^example\.net .*5\.00 GiB.*barbara@example\.net/ }).waitFor();
  await accessible('the domains');
  await screenshot(page, 'domains');
  await narrow('domains');
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await heading('Sign-ins');
  await page.getByRole('row', { name: /alan@example\.com.*wrong password/ }).waitFor();
  await page.getByRole('row', { name: /<u>nobody<\/u>@example\.com.*no such user/ }).waitFor();
  await accessible('the sign-ins');
  await screenshot(page, 'signins');
  await narrow('signins');
  await page.getByRole('link', { name: 'alan@example.com' }).click();
  await heading('alan@example.com');
  await page.getByRole('region', { name: 'Sign-ins', exact: true }).getByText('wrong password').waitFor();

  // Who is logged in, found and ended by keys.
  await page.keyboard.press('g');
  await page.keyboard.press('c');
  await heading('Sessions');
  const session = page.getByRole('row', { name: /grace@example\.com.*imap/i });
  await session.getByText('INBOX').waitFor();
  await accessible('the sessions');
  await screenshot(page, 'sessions');
  await narrow('sessions');
  await session.getByRole('button', { name: /^End the imap session of grace@example\.com$/i }).press('Enter');
  await page.getByText('The session ends.').waitFor();
  await session.waitFor({ state: 'detached' });
  await page.getByText('Nobody is logged in.').waitFor();
  await page.goto(`${url}/#/users/alan@example.com`);
  await heading('alan@example.com');

  // What happens to the user's mail, as it happens.
  const live = page.getByRole('region', { name: 'Live events' });
  await live.getByText('The stream begins.').waitFor();
  await deliver('alan@example.com', 'From: "<i>me</i>" <me@example.net>\nSubject: <b>live</b>\n\nhello\n');
  await live.getByText('<b>live</b> from <i>me</i>, in INBOX').waitFor();
  await accessible('live events');
  await screenshot(page, 'live', { fullPage: true });

  // Mail arrives while the list is seen, and is read.
  await page.goto(`${url}/#/mail/ada@example.com`);
  await heading('Mail');
  await page.locator('a[data-row]').first().waitFor();
  await deliver('ada@example.com', hostile);
  const arrived = page.getByText('<script>window.pwned=1</script> hello');
  await arrived.waitFor();
  await accessible('the list of mail');
  await screenshot(page, 'mail');
  await narrow('mail');
  await arrived.click();
  const frame = page.frameLocator('iframe.mail');
  await frame.getByText('Invoice 4711').waitFor();
  await frame.getByText('[a pixel]').waitFor();
  await until('the message\'s own image alone', async () => JSON.stringify(await frame.locator('img')
    .evaluateAll((list) => list.map((i) => i.naturalWidth))) === '[1]');
  const sandbox = await page.locator('iframe.mail').getAttribute('sandbox');
  equal(sandbox, '', 'the sandbox of the frame');
  await page.getByText('<img src=x onerror=window.pwned=1> <evil@example.net>').waitFor();
  await accessible('a message');
  await screenshot(page, 'message');
  await narrow('message');
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: '<b>x<b>.txt' }).click();
  const stream = await (await saved).createReadStream();
  let file = '';
  for await (const piece of stream) file += piece;
  check(file.startsWith('contents of the attachment'), 'the attachment');
  await button('Text').click();
  await page.getByLabel('Text of the message').getByText('Invoice 4711').waitFor();
  await button('Source').click();
  await page.getByLabel('Source of the message').getByText('Content-Type: multipart/mixed').waitFor();
  await button('Mark as read').click();
  await button('Mark as unread').waitFor();
  check(await page.evaluate(() => window.pwned === undefined), 'nothing of the mail ran');
  await page.keyboard.press('Escape');
  await page.locator('a[data-row]').first().waitFor(); // the message has a search of its own, which goes with it
  await page.getByLabel('Search the mail of this user').fill('Invoice from:evil');
  await page.keyboard.press('Enter');
  await page.locator('mark').first().waitFor();
  equal(await page.locator('a[data-row]').count(), 1, 'messages found');
  await accessible('a search');
  await page.locator('a[data-row]').click();
  await frame.getByText('Invoice 4711').waitFor();

  // The log, with a filter.
  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await heading('Log');
  await page.getByLabel('Filter the lines').fill('delivered ada@example.com');
  await until('lines of deliveries', async () => (await page.locator('.log li').count()) === 1);
  await accessible('the log');
  await screenshot(page, 'log');
  await narrow('log');

  // Dark, by choice and by the browser's.
  await page.goto(`${url}/#/overview`);
  await heading('Overview');
  await page.getByText('Kept once').first().waitFor();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await background();
  check(light !== dark, 'the browser chooses dark');
  await accessible('the dark overview');
  await page.locator('h1').click();
  await page.keyboard.press('d');
  equal(await background(), light, 'light by choice');
  await page.keyboard.press('d');
  await page.emulateMedia({ colorScheme: 'light' });
  equal(await background(), dark, 'dark by choice');
  await page.reload();
  await heading('Overview');
  equal(await background(), dark, 'the choice stays');
  await page.keyboard.press('d');

  await pictures(page, url);

  // A token that is over leads back to the login.
  await page.route('**/users?*', (route) => route.fulfill({ status: 401, json: { code: 'Unauthorized' } }));
  await page.goto(`${url}/#/users`);
  await page.getByRole('alert').filter({ hasText: 'no longer valid' }).waitFor();
  check(await page.evaluate(() => sessionStorage.length === 0), 'the token is forgotten');
  await page.unroute('**/users?*');
  await page.getByLabel('Administrator token').fill(token);
  await page.keyboard.press('Enter');
  await heading('Users');

  // Logout, and a token that may do less.
  await button('Log out').click();
  await page.getByLabel('Administrator token').fill(weak);
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'scope' }).waitFor();
  check(await page.evaluate(() => sessionStorage.length === 0), 'no token is kept');

  equal(foreign, [], 'requests to other servers');
  equal(await page.evaluate(() => window.violations), [], 'violations of the policy');
  equal(errors, [], 'errors');
});
