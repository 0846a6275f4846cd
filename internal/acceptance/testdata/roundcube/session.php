<?php
// A session of Roundcube's IMAP client, with the extensions that it uses. The first thing that is not
// as it should be ends the script.
require '/usr/share/roundcube/program/lib/Roundcube/bootstrap.php';

function check($what, $is, $want = true)
{
    if ($is !== $want) {
        fwrite(STDERR, "$what: " . var_export($is, true) . ', want ' . var_export($want, true) . "\n");
        exit(1);
    }
}

function numbers($list)
{
    return array_map('intval', array_values($list));
}

function mail_of($n, $subject, $reference = null)
{
    return "From: sender$n@example.com\r\nTo: alice@example.com\r\nSubject: $subject\r\n"
        . "Date: Fri, 0$n Jul 2020 10:00:00 +0000\r\nMessage-ID: <m$n@example.com>\r\n"
        . ($reference ? "In-Reply-To: <$reference@example.com>\r\nReferences: <$reference@example.com>\r\n" : '')
        . "Content-Type: text/plain; charset=utf-8\r\n\r\ntext $n größe\r\n";
}

function login($user)
{
    $c = new rcube_imap_generic();
    check("login of $user", $c->connect(getenv('GADWALL_IMAP_HOST'), $user, getenv('GADWALL_PASSWORD'), [
        'port' => (int) getenv('GADWALL_IMAP_PORT'), 'ssl_mode' => null, 'auth_type' => 'PLAIN', 'timeout' => 60,
        'force_caps' => false, 'disabled_caps' => [],
    ]));
    return $c;
}

$user = getenv('GADWALL_USER');
$guest = getenv('GADWALL_GUEST');
$c = login($user);
foreach (['SORT', 'THREAD=REFERENCES', 'QRESYNC', 'CONDSTORE', 'METADATA', 'ACL', 'QUOTA', 'LIST-EXTENDED', 'ESEARCH', 'MOVE',
    'UIDPLUS', 'BINARY', 'LITERAL+', 'SPECIAL-USE'] as $name) {
    check("capability $name", (bool) $c->getCapability($name));
}
check('delimiter', $c->getHierarchyDelimiter(), '/');
check('personal namespace', $c->getNamespace()['personal'], [['', '/']]);
check('namespace of others', $c->getNamespace()['other'], [['Other Users/', '/']]);
check('id', is_array($c->id(['name' => 'Roundcube', 'version' => '1.6'])));

// Mailboxes.
$box = 'Projekte/Gr&APYA3w-e';
check('create', $c->createFolder($box));
check('create with use', $c->createFolder('Starred', ['\\Flagged']));
check('subscribe', $c->subscribe($box));
check('list', in_array($box, $c->listMailboxes('', '*')));
// Not STATUS: this version stops at its answers with an error of its own.
$extended = $c->listMailboxes('', '*', ['SPECIAL-USE', 'SUBSCRIBED', 'CHILDREN']);
check('extended list', array_key_exists($box, $extended));
check('subscribed', in_array($box, $c->listSubscribed('', '*')));

// Messages.
foreach ([[1, 'zebra'], [2, 'apple'], [3, 'mango']] as [$n, $subject]) {
    $text = mail_of($n, $subject);
    check("append $n", $c->append($box, $text, ['SEEN'], "0$n-Jul-2020 10:00:00 +0000"), (string) $n);
}
$reply = mail_of(4, 'Re: apple', 'm2');
check('append reply', $c->append($box, $reply, []), '4');
check('append binary', (bool) $c->append($box, $reply, [], null, true));
check('count', $c->countMessages($box), 5);
check('unseen', $c->countUnseen($box), 2);
check('status', $c->status($box, ['MESSAGES', 'UNSEEN'])['MESSAGES'], '5');

check('sort by subject', numbers($c->sort($box, 'SUBJECT', '', true, 'UTF-8')->get()), [2, 4, 5, 3, 1]);
check('sort by date', numbers($c->sort($box, 'DATE', 'SEEN', true, 'UTF-8')->get()), [1, 2, 3]);
$threads = $c->thread($box, 'REFERENCES', '', true, 'UTF-8')->get_tree();
check('threads', numbers(array_keys($threads)), [1, 2, 3]);
check('replies', array_key_exists(4, $threads[2]));
check('search', numbers($c->search($box, 'SUBJECT apple', true)->get()), [2, 4, 5]);
$found = $c->search($box, 'UNSEEN', true, ['COUNT', 'MIN', 'MAX']);
check('search for a count', $found->count(), 2);
check('search for a range', [(int) $found->min(), (int) $found->max()], [4, 5]);
check('search in text', $c->search($box, 'CHARSET UTF-8 BODY ' . rcube_imap_generic::escape('größe'), true)->count(), 5);

$header = $c->fetchHeader($box, 2, true, true);
check('subject', $header->subject, 'apple');
check('flags', array_key_exists('SEEN', $header->flags));
check('structure', $header->bodystructure[0], 'text');
check('structure by itself', $c->getStructure($box, 2, true)[1], 'plain');
check('part', $c->handlePartBody($box, 2, true, '1'), "text 2 größe\r\n");
check('binary part', $c->fetch($box, 2, true, ['BINARY.SIZE[1]']) !== false);
check('MIME headers', is_array($c->fetchMIMEHeaders($box, 2, ['1'])));

// Return visits.
$c->enable('QRESYNC');
check('select', $c->select($box));
$validity = $c->data['UIDVALIDITY'];
$modseq = $c->data['HIGHESTMODSEQ'];
$other = login($user);
check('flag', $other->flag($box, 2, 'FLAGGED'));
check('delete', $other->flag($box, 5, 'DELETED') && $other->expunge($box, 5));
check('select another', $c->select('INBOX'));
check('return', $c->select($box, [$validity, $modseq, '1:5']));
check('vanished', $c->data['VANISHED'] ?? null, '5');
$changed = $c->fetch($box, '1:*', true, ['FLAGS'], $modseq, true);
check('changed', numbers(array_map(fn ($m) => $m->uid, $changed)), [2]);

check('copy', $c->copy('1', $box, 'Archive'));
check('copied', $c->data['COPYUID'][1] ?? '1', '1');
check('move', $c->move('3', $box, 'Archive'));
check('left', $c->countMessages($box), 3);
check('clear', $c->clearFolder('Archive'));

// Annotations, rights, quota.
check('set metadata', $c->setMetadata($box, ['/private/comment' => 'größe']));
check('metadata', $c->getMetadata($box, ['/private/comment'])[$box]['/private/comment'], 'größe');
check('delete metadata', $c->deleteMetadata($box, ['/private/comment']));
check('no metadata', $c->getMetadata($box, ['/private/comment'])[$box]['/private/comment'] ?? null, null);
check('my rights', in_array('a', $c->myRights($box)));
check('list rights', is_array($c->listRights($box, $guest)));
check('set acl', $c->setACL($box, $guest, 'lrs'));
check('acl', $c->getACL($box)[$guest], ['l', 'r', 's']);
$g = login($guest);
$shared = "Other Users/$user/$box";
check('shared list', in_array($shared, $g->listMailboxes('', '*')));
check('shared messages', $g->countMessages($shared), 3);
check('delete acl', $c->deleteACL($box, $guest));
check('not shared', in_array($shared, $g->listMailboxes('', '*')), false);
$quota = $c->getQuota('INBOX');
check('quota', $quota['total'], 1000);
check('quota used', $quota['used'] > 0);

check('rename', $c->renameFolder($box, 'Projekte/neu'));
check('remove', $c->deleteFolder('Projekte/neu'));
check('unsubscribe', $c->unsubscribe('Projekte/neu'));
$c->closeConnection();
echo "roundcube: all good\n";
