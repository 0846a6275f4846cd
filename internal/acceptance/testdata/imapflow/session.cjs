// A session with imapflow that uses what it has: prints "imapflow: all good" when every answer is right.
'use strict';

const assert = require('assert').strict;
const { once } = require('events');
const { ImapFlow } = require('imapflow');

const { GADWALL_IMAP_HOST: host, GADWALL_IMAP_PORT: port, GADWALL_USER: user, GADWALL_PASSWORD: pass } = process.env;

// A minute is far more than anything here takes: only a failure needs it.
const patience = 60000;

// connect logs in. said collects the lines of both sides.
async function connect(options = {}) {
  const said = [];
  const note = (entry) => {
    if (entry.src) said.push(`${entry.src}: ${entry.msg}`);
    if (/Initiated IDLE/.test(entry.msg)) client.emit('idling');
  };
  const logger = { trace: note, debug: note, info: note, warn: note, error: note };
  const client = new ImapFlow({
    host, port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger,
    disableAutoIdle: true, ...options,
  });
  client.said = said;
  client.on('error', () => {}); // a command that waits fails with it
  await client.connect();
  return client;
}

async function leave(client) {
  await client.logout();
  const bad = client.said.filter((line) => /^s: \S+ (BAD|NO)\b/.test(line));
  assert.deepEqual(bad, [], 'commands were refused');
}

// next resolves with what the next event of a name carries.
async function next(client, event) {
  const [payload] = await once(client, event, { signal: AbortSignal.timeout(patience) });
  return payload;
}

async function read(download) {
  const chunks = [];
  for await (const chunk of download.content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function all(messages) {
  const list = [];
  for await (const message of messages) list.push(message);
  return list;
}

function plain(n, more = '') {
  return `From: ada@example.com\r\nTo: grace@example.net\r\nSubject: number ${n}\r\n`
    + `Message-ID: <${n}@example.com>\r\n${more}\r\nThe text of ${n}.\r\n`;
}

// octets is what the attachment has: every value, so that no charset can pass for it.
const octets = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7) % 256));

function withParts() {
  return 'From: ada@example.com\r\nTo: grace@example.net\r\nSubject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n'
    + 'Message-ID: <parts@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n'
    + '--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    + 'Sch=F6ne Gr=FC=DFe\r\n--b\r\nContent-Type: application/octet-stream; name=octets.bin\r\n'
    + 'Content-Disposition: attachment; filename=octets.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + `${octets.toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n--b--\r\n`;
}

async function checkLogin(client) {
  for (const name of ['IMAP4rev1', 'IDLE', 'ENABLE', 'COMPRESS=DEFLATE', 'CONDSTORE', 'QRESYNC', 'OBJECTID', 'UIDPLUS',
    'MOVE', 'QUOTA', 'SPECIAL-USE', 'ESEARCH', 'LIST-STATUS', 'NAMESPACE', 'ID', 'BINARY', 'UTF8=ACCEPT']) {
    assert.ok(client.capabilities.has(name), `no ${name} in CAPABILITY`);
  }
  for (const name of ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT']) {
    assert.ok(client.enabled.has(name), `${name} is not enabled`);
  }
  // imapflow has no public word for it: this is the stream that decompresses.
  assert.ok(client._inflate, 'the connection is not compressed');
  assert.equal(client.serverInfo.name, 'Gadwall');
}

async function checkMailboxes(client) {
  const created = await client.mailboxCreate(['Projekte', 'Grüße & Küsse']);
  assert.equal(created.path, 'Projekte/Grüße & Küsse');
  assert.ok(created.created && created.mailboxId, 'CREATE gave no MAILBOXID');
  const opened = await client.mailboxOpen(created.path);
  assert.equal(opened.mailboxId, created.mailboxId);
  await client.mailboxClose();
  const renamed = await client.mailboxRename(created.path, 'Fertig/日本');
  assert.equal(renamed.newPath, 'Fertig/日本');
  const again = await client.mailboxOpen('Fertig/日本');
  assert.equal(again.mailboxId, created.mailboxId, 'the MAILBOXID after RENAME');
  await client.mailboxClose();

  const list = await client.list({ statusQuery: { messages: true, unseen: true } });
  const special = Object.fromEntries(list.filter((m) => m.specialUse).map((m) => [m.specialUse, m.path]));
  assert.deepEqual(special, {
    '\\Inbox': 'INBOX', '\\Archive': 'Archive', '\\Drafts': 'Drafts',
    '\\Junk': 'Junk', '\\Sent': 'Sent', '\\Trash': 'Trash',
  });
  assert.ok(list.some((m) => m.path === 'Fertig/日本' && m.status.messages === 0),
    'the renamed mailbox is not in LIST');
  assert.ok(!list.some((m) => m.path.startsWith('Projekte/')), 'the old name is still in LIST');
  await client.mailboxDelete('Fertig/日本');
  assert.ok(!(await client.list()).some((m) => m.path === 'Fertig/日本'), 'the deleted mailbox is still in LIST');
}

async function checkMessages(client) {
  await client.mailboxOpen('INBOX');
  for (let n = 1; n <= 9; n++) {
    const appended = await client.append('INBOX', plain(n), n % 2 ? ['\\Seen'] : [], new Date('2024-05-06T07:08:09Z'));
    assert.equal(appended.uid, n);
  }
  // A reply to number 1 is of its thread.
  await client.append('INBOX', plain('1b', 'In-Reply-To: <1@example.com>\r\nReferences: <1@example.com>\r\n')
    .replace('Subject: ', 'Subject: Re: ').replace('number 1b', 'number 1'));
  const parts = await client.append('INBOX', withParts(), ['\\Flagged', '$Forwarded']);
  assert.equal(parts.uid, 11);

  const messages = await all(client.fetch('1:*', {
    uid: true, flags: true, envelope: true, internalDate: true, size: true, threadId: true,
  }));
  assert.equal(messages.length, 11);
  assert.equal(new Set(messages.map((m) => m.emailId)).size, 11, 'the EMAILIDs differ');
  assert.ok(messages.every((m) => m.emailId && m.threadId), 'a message without EMAILID or THREADID');
  assert.equal(messages[9].threadId, messages[0].threadId, 'a reply is of the same thread');
  assert.notEqual(messages[1].threadId, messages[0].threadId);
  assert.equal(messages[0].internalDate.toISOString(), '2024-05-06T07:08:09.000Z');
  assert.equal(messages[0].size, plain(1).length);
  assert.equal(messages[10].envelope.subject, 'grüße');
  assert.deepEqual([...messages[10].flags].sort(), ['$Forwarded', '\\Flagged']);

  assert.deepEqual(await client.search({ subject: 'NUMBER 3' }, { uid: true }), [3]);
  assert.deepEqual(await client.search({ seen: true }, { uid: true }), [1, 3, 5, 7, 9]);
  assert.deepEqual(await client.search({ or: [{ flagged: true }, { body: 'text of 2' }] }, { uid: true }), [2, 11]);
  assert.deepEqual(await client.search({ subject: 'GRÜßE' }, { uid: true }), [11]);
  assert.deepEqual(await client.search({ emailId: messages[4].emailId }, { uid: true }), [5]);
  assert.deepEqual(await client.search({ threadId: messages[0].threadId }, { uid: true }), [1, 10]);

  const { bodyStructure } = await client.fetchOne('11', { bodyStructure: true }, { uid: true });
  assert.deepEqual(bodyStructure.childNodes.map((node) => [node.part, node.type]),
    [['1', 'text/plain'], ['2', 'application/octet-stream']]);
  const text = await client.download('11', '1', { uid: true });
  assert.equal((await read(text)).toString().trim(), 'Schöne Grüße');
  // Several chunks: imapflow asks for ranges.
  const attachment = await client.download('11', '2', { uid: true, chunkSize: 1000 });
  assert.equal(attachment.meta.filename, 'octets.bin');
  assert.ok((await read(attachment)).equals(octets), 'the attachment differs');
  assert.equal((await read(await client.download('11', undefined, { uid: true }))).toString(), withParts());

  const copied = await client.messageCopy('5', 'Archive', { uid: true });
  assert.deepEqual([...copied.uidMap], [[5, 1]]);
  const moved = await client.messageMove('6:7', 'Archive', { uid: true });
  assert.deepEqual([...moved.uidMap], [[6, 2], [7, 3]]);
  assert.deepEqual(await client.search({ uid: '1:*' }, { uid: true }), [1, 2, 3, 4, 5, 8, 9, 10, 11]);
  assert.equal(client.mailbox.exists, 9);
  await client.mailboxOpen('Archive', { readOnly: true });
  assert.equal(client.mailbox.readOnly, true);
  assert.deepEqual((await all(client.fetch('1:*', { uid: true }))).map((m) => m.emailId),
    messages.slice(4, 7).map((m) => m.emailId), 'the EMAILIDs in another mailbox');

  const status = await client.status('INBOX', {
    messages: true, unseen: true, recent: false, uidNext: true, uidValidity: true, highestModseq: true,
  });
  assert.equal(status.messages, 9);
  assert.equal(status.unseen, 5);
  assert.equal(status.uidNext, 12);
  assert.ok(status.uidValidity > 0n && status.highestModseq > 0n);
  const quota = await client.getQuota('INBOX');
  assert.equal(quota.storage.limit, 1024 * 1000);
  assert.ok(quota.storage.usage > 0 && quota.storage.usage < 1024 * 1000, `usage ${quota.storage.usage}`);
}

// checkReturn leaves, has another client change the mailbox, and comes back.
async function checkReturn(client, other) {
  const { uidValidity, highestModseq } = await client.mailboxOpen('INBOX');
  await leave(client);
  await other.mailboxOpen('INBOX');
  await other.messageDelete('2:3,9', { uid: true });
  await other.messageFlagsAdd('4', ['\\Answered'], { uid: true });
  await other.append('INBOX', plain(12), ['$Label1']);

  const back = await connect({ qresync: true });
  const vanished = [];
  const flags = new Map();
  const onExpunge = (event) => vanished.push(event);
  const onFlags = (event) => flags.set(event.uid, [...event.flags].sort());
  back.on('expunge', onExpunge).on('flags', onFlags);
  const mailbox = await back.mailboxOpen('INBOX', { uidValidity, changedSince: highestModseq });
  back.off('expunge', onExpunge).off('flags', onFlags);
  assert.equal(mailbox.qresync, true);
  assert.equal(mailbox.exists, 7);
  assert.ok(mailbox.highestModseq > highestModseq);
  assert.ok(vanished.every((event) => event.vanished && event.earlier), 'VANISHED without EARLIER');
  assert.deepEqual(vanished.map((event) => event.uid), [2, 3, 9]);
  assert.deepEqual([...flags].sort(([a], [b]) => a - b), [[4, ['\\Answered']], [12, ['$Label1']]]);

  // The same by FETCH: CHANGEDSINCE and VANISHED.
  const gone = [];
  const onGone = (event) => gone.push(event.uid);
  back.on('expunge', onGone);
  const changed = await all(back.fetch('1:*', { uid: true, flags: true }, { uid: true, changedSince: highestModseq }));
  back.off('expunge', onGone);
  assert.deepEqual(changed.map((message) => message.uid), [4, 12]);
  assert.deepEqual(gone, [2, 3, 9]);
  return back;
}

async function checkIdle(client, other) {
  const idling = next(client, 'idling');
  const ended = client.idle();
  await idling;
  const exists = next(client, 'exists');
  const { uid } = await other.append('INBOX', plain(13));
  assert.deepEqual(await exists, { path: 'INBOX', count: 8, prevCount: 7 });

  const flags = next(client, 'flags');
  await other.messageFlagsSet(String(uid), ['\\Seen', '$Important'], { uid: true });
  const changed = await flags;
  assert.equal(changed.uid, uid);
  assert.equal(changed.seq, 8);
  assert.ok(changed.modseq > 0n);
  assert.deepEqual([...changed.flags].sort(), ['$Important', '\\Seen']);

  const expunge = next(client, 'expunge');
  await other.messageDelete('4', { uid: true });
  assert.deepEqual(await expunge, { path: 'INBOX', uid: 4, vanished: true, earlier: false });
  assert.equal(client.mailbox.exists, 7);
  // The next command ends IDLE.
  assert.deepEqual(await client.search({ all: true }, { uid: true }), [1, 5, 8, 10, 11, 12, uid]);
  await ended;
}

// Without QRESYNC, the other client hears of the same by EXPUNGE.
async function checkExpunge(client, other) {
  const idling = next(other, 'idling');
  const ended = other.idle();
  await idling;
  const expunge = next(other, 'expunge');
  await client.messageDelete('5', { uid: true });
  assert.deepEqual(await expunge, { path: 'INBOX', seq: 2, vanished: false });
  await other.noop();
  await ended;
}

(async () => {
  const client = await connect({ qresync: true });
  await checkLogin(client);
  await checkMailboxes(client);
  await checkMessages(client);
  const other = await connect({ disableCompression: true });
  const back = await checkReturn(client, other);
  await checkIdle(back, other);
  await checkExpunge(back, other);
  await leave(back);
  await leave(other);
  console.log('imapflow: all good');
})().then(() => process.exit(0), (error) => {
  console.error(error.stack || error);
  process.exit(1);
});
