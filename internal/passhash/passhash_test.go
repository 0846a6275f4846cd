package passhash

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// password is what the hashes below are of. doveadm pw and openssl passwd made them.
const password = "correct horse"

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		stored, scheme string
		weak           bool
	}{
		{"{BLF-CRYPT}$2y$05$axBOtnXOimLBXhCsnHcGO.ma9BC2LecDHQaBhHQoFEdSpALMeAnnO", "BLF-CRYPT", false},
		{"{blf-crypt}$2y$05$axBOtnXOimLBXhCsnHcGO.ma9BC2LecDHQaBhHQoFEdSpALMeAnnO", "BLF-CRYPT", false},
		{"{PBKDF2}$1$bMiyc0qtyDJ8KiNw$5000$8db8d09cbddf45b5c63d877aaec7d51fcd5a6bb7", "PBKDF2", false},
		{"{SSHA512}eZTej1KF8QLdgxjMmKeJFgYM400HItW9EXX9UDsQ4nLACcByUN0RdlvbzxmoDN0p7LKaNPn2xJTykhz+F6Lgk/9E5Nw=",
			"SSHA512", true},
		{"{SHA512-CRYPT}$6$aCci/unApBuTSdV7$HMmgVYKuhxJJ8yi7igbreBWkEpO2wzvOsVS4skC3TlmJU55lg" +
			"Hc9FlUv6UAqvfvhAnD5wnfcddCQRvmI0IJCA0",
			"SHA512-CRYPT", false},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$K7W6KZN73qbz9x7TV/3KVQ$vJCHEcdEXSVPAtmlsrqi62GdXM84v3Zo+9ejDZu5jVU",
			"ARGON2ID", false},
		{"{MD5-CRYPT}$1$ST9Zjq0W$zL.fqA.Ank4pSABYeznPY.", "MD5-CRYPT", true},
		{"{CRYPT}$1$ST9Zjq0W$zL.fqA.Ank4pSABYeznPY.", "MD5-CRYPT", true},
		{"{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd", "SSHA", true},
		{"{SHA256-CRYPT}$5$zBwKo63iapm7zMmc$VZIln6sYutjsKrviGVO0ZCsSOue.6qxuBZZ8.iZMS8D", "SHA256-CRYPT", false},
		{"$5$zBwKo63iapm7zMmc$VZIln6sYutjsKrviGVO0ZCsSOue.6qxuBZZ8.iZMS8D", "SHA256-CRYPT", false},
	} {
		h, err := Parse(tt.stored)
		if err != nil {
			t.Errorf("%s: %v", tt.stored, err)
			continue
		}
		if h.Scheme != tt.scheme || h.Weak != tt.weak {
			t.Errorf("%s is %s, weak %v", tt.stored, h.Scheme, h.Weak)
		}
		if !h.Matches(password) {
			t.Errorf("%s does not match", tt.stored)
		}
		for _, wrong := range []string{"", "correct", password + "x", strings.ToUpper(password)} {
			if h.Matches(wrong) {
				t.Errorf("%s matches %q", tt.stored, wrong)
			}
		}
	}
}

// TestDoveadm reads what Dovecot makes of a password that nobody has seen before.
func TestDoveadm(t *testing.T) {
	doveadm, err := exec.LookPath("doveadm")
	if err != nil {
		t.Skip("doveadm (Debian's dovecot-core) is not installed")
	}
	password := rand.Text()
	for _, scheme := range []string{"ARGON2ID", "ARGON2I", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT",
		"PBKDF2", "SSHA", "SSHA256", "SSHA512"} {
		out, err := exec.Command(doveadm, "pw", "-s", scheme, "-p", password).Output()
		if err != nil {
			t.Errorf("doveadm pw -s %s: %v", scheme, err)
			continue
		}
		h, err := Parse(strings.TrimSpace(string(out)))
		if err != nil || h.Scheme != scheme || !h.Matches(password) || h.Matches(password+"x") {
			t.Errorf("%s: %+v, %v", out, h, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	ssha := func(salt int) string {
		return "{SSHA}" + base64.StdEncoding.EncodeToString(make([]byte, sha1.Size+salt))
	}
	for _, stored := range []string{
		"", "secret", "{PLAIN}secret", "{SSHA", "{SSHA}", "{SSHA}!", ssha(0), ssha(maxSalt + 1),
		"{BLF-CRYPT}$2y$31$axBOtnXOimLBXhCsnHcGO.ma9BC2LecDHQaBhHQoFEdSpALMeAnnO",
		"{BLF-CRYPT}$2y$x$axBOtnXOimLBXhCsnHcGO.ma9BC2LecDHQaBhHQoFEdSpALMeAnnO",
		"{BLF-CRYPT}$2y$05$short", "{SHA512-CRYPT}$5$zBwKo63iapm7zMmc$VZIln6sYutjsKrviGVO0ZCsSOue.6qxuBZZ8.iZMS8D",
		"$6$rounds=999999999$salt$hash", "$6$rounds=x$salt$hash", "$argon2id$v=19$m=99999999,t=3,p=1$c2FsdHNhbHQ$a2V5",
		"$argon2id$v=19$m=64,t=3000,p=1$c2FsdHNhbHQ$a2V5", "$argon2id$", "$$$", "$9$a$b$c",
		"{PBKDF2}$1$salt$0$8db8d09cbddf45b5c63d877aaec7d51fcd5a6bb7", "{PBKDF2}$1$salt$99999999$8db8d09c",
		"{PBKDF2}$1$salt$5000$zz", "$pbkdf2-sha256$99999999$c2FsdA$aGFzaA", strings.Repeat("x", MaxLength+1),
	} {
		if h, err := Parse(stored); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60q is accepted: %+v, %v", stored, h, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd")
	f.Add("{PBKDF2}$1$salt$1$8db8d09cbddf45b5c63d877aaec7d51fcd5a6bb7")
	f.Add("$2y$05$axBOtnXOimLBXhCsnHcGO.ma9BC2LecDHQaBhHQoFEdSpALMeAnnO")
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5")
	f.Add("$pbkdf2-sha256$1$c2FsdA$aGFzaA")
	f.Fuzz(func(t *testing.T, stored string) {
		h, err := Parse(stored)
		if (h == nil) != (err != nil) {
			t.Errorf("%v, %v", h, err)
		}
	})
}
