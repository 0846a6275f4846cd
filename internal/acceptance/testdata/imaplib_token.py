"""Logs in with a token by OAUTHBEARER and XOAUTH2, and is refused with another one."""
import imaplib
import json
import sys

host, port, user, good, wrong = sys.argv[1:]


def oauthbearer(token):
    return f"n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01".encode()


def xoauth2(token):
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


for mechanism, message, dummy in (("OAUTHBEARER", oauthbearer, b"\x01"), ("XOAUTH2", xoauth2, b"")):
    c = imaplib.IMAP4(host, int(port))
    assert "AUTH=" + mechanism in c.capabilities, c.capabilities
    problems = []

    def refused(challenge):
        if not challenge:
            return message(wrong)
        problems.append(json.loads(challenge))
        return dummy

    try:
        c.authenticate(mechanism, refused)
    except imaplib.IMAP4.error as e:
        assert "AUTHENTICATIONFAILED" in str(e), e
    else:
        raise AssertionError("a wrong token was taken")
    assert len(problems) == 1 and problems[0]["scope"] == "mail", problems
    typ, _ = c.authenticate(mechanism, lambda challenge: message(good))
    assert typ == "OK", typ
    typ, data = c.select("INBOX")
    assert typ == "OK", data
    c.logout()
print("imaplib: all good")
