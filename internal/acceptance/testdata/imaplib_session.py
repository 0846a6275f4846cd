"""A session with Python's imaplib; prints "imaplib: all good" when every answer is right."""
import imaplib
import sys
import time

host, port, user, password = sys.argv[1:]


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


m = imaplib.IMAP4(host, int(port))
assert "IMAP4REV1" in m.capabilities, m.capabilities
ok(m.login(user, password))
count = int(ok(m.select("INBOX"))[0])
assert count == 10, count

names = b"\n".join(ok(m.list()))
for name in (b"INBOX", b"Sent", b"Drafts", b"Junk", b"Trash", b"Archive"):
    assert name in names, names
assert b"\\Junk" in names, names

assert len(ok(m.search(None, "ALL"))[0].split()) == 10
assert len(ok(m.search(None, "UNSEEN"))[0].split()) == 10
data = ok(m.fetch("1:*", "(UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)"))
assert len([d for d in data if b"UID" in (d[0] if isinstance(d, tuple) else d)]) == 10, data
whole = ok(m.fetch("1", "(BODY.PEEK[])"))[0][1]
assert whole.startswith(b"Return-Path:"), whole[:100]
size = ok(m.fetch("1", "(RFC822.SIZE)"))[0]
assert str(len(whole)).encode() in size, (len(whole), size)
part = ok(m.fetch("1", "(BODY.PEEK[]<7.20>)"))[0][1]
assert part == whole[7:27], part
headers = ok(m.fetch("1", "(BODY.PEEK[HEADER.FIELDS (DELIVERED-TO)])"))[0][1]
assert headers.lower().startswith(b"delivered-to:") and headers.endswith(b"\r\n\r\n"), headers

ok(m.fetch("1", "(BODY[])"))
assert ok(m.search(None, "SEEN"))[0] == b"1"
ok(m.store("2:3", "+FLAGS", r"(\Flagged $Work)"))
assert ok(m.search(None, "KEYWORD $Work FLAGGED"))[0] == b"2 3"
ok(m.store("3", "-FLAGS", r"(\Flagged)"))
assert ok(m.search(None, "FLAGGED"))[0] == b"2"

ok(m.create("Projects/2026"))
ok(m.subscribe("Projects/2026"))
assert b"Projects/2026" in b"\n".join(ok(m.lsub()))
ok(m.copy("1:2", "Projects/2026"))
assert b"MESSAGES 2" in ok(m.status("Projects/2026", "(MESSAGES UIDNEXT UNSEEN)"))[0]
ok(m.append("Drafts", r"(\Draft)", imaplib.Time2Internaldate(time.time()), b"Subject: draft\r\n\r\nNot yet.\r\n"))
assert b"MESSAGES 1" in ok(m.status("Drafts", "(MESSAGES)"))[0]
assert b"\r\nNot yet.\r\n" in (ok(m.select("Drafts")) and ok(m.fetch("1", "(RFC822)"))[0][1])
ok(m.select("INBOX"))

ok(m.store("1", "+FLAGS", r"(\Deleted)"))
assert ok(m.expunge()) == [b"1"]
assert len(ok(m.search(None, "ALL"))[0].split()) == 9
ok(m.rename("Projects", "Done"))
assert b"Done/2026" in b"\n".join(ok(m.list()))
ok(m.delete("Done/2026"))
assert m.select("Done/2026")[0] == "NO"
assert m.select("INBOX")[0] == "OK"
assert m.uid("FETCH", "99999", "(FLAGS)")[0] == "OK"
ok(m.close())
m.logout()
print("imaplib: all good")
