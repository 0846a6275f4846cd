"""A session with Python's imaplib: host, port, user, password."""
import imaplib
import sys
import time

host, port, user, password = sys.argv[1:]


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


m = imaplib.IMAP4(host, int(port))
ok(m.login(user, password))
assert "IDLE" in m.capabilities, m.capabilities
ok(m.create("Python"))
ok(m.subscribe("Python"))
assert b'(\\HasNoChildren) "/" Python' in ok(m.list()), m.list()
assert b'() "/" Python' in ok(m.lsub()), m.lsub()
text = b"Subject: hello\r\nFrom: a@example.com\r\n\r\nline one\r\nline two\r\n"
for _ in range(3):
    ok(m.append("Python", r"(\Flagged)", imaplib.Time2Internaldate(time.time()), text))
same(ok(m.select("Python")), [b"3"])
same(m.response("RECENT")[1], [b"0"])
same(ok(m.search(None, "FLAGGED", "SUBJECT", '"hello"')), [b"1 2 3"])
same(ok(m.fetch("1", "(RFC822)"))[0][1], text)
same(ok(m.fetch("1", "(FLAGS)")), [rb"1 (FLAGS (\Seen \Flagged))"])
same(ok(m.store("2", "+FLAGS", r"(\Deleted)")), [rb"2 (FLAGS (\Flagged \Deleted))"])
same(ok(m.uid("SEARCH", None, "DELETED")), [b"2"])
ok(m.copy("1:3", "INBOX"))
same(ok(m.expunge()), [b"2"])
same(ok(m.uid("FETCH", "3", "(UID BODY.PEEK[TEXT]<0.8>)"))[0][1], b"line one")
same(ok(m.status("INBOX", "(MESSAGES UIDNEXT)")), [b"INBOX (MESSAGES 3 UIDNEXT 4)"])
status, _ = m.select("missing")
same(status, "NO")
ok(m.select("Python", readonly=True))
status, _ = m.store("1", "FLAGS", "()")
same(status, "NO")
ok(m.close())
ok(m.rename("Python", "Parent/Snake"))
assert b'(\\HasNoChildren) "/" Parent/Snake' in ok(m.list("Parent/", "%"))
ok(m.unsubscribe("Parent/Snake"))
ok(m.delete("Parent/Snake"))
try:
    m.delete("INBOX")
    m.logout()
except imaplib.IMAP4.error as e:
    raise AssertionError(e)
print("done")
