package mailstore

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
)

// testIterations is the least that RFC 7677 section 4 allows.
const testIterations = 4096

// fits reports whether a verifier is that of a password, as RFC 5802 section 3 has it.
func fits(t *testing.T, v ScramVerifier, password string) bool {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, password, v.Salt, v.Iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	return bytes.Equal(stored[:], v.StoredKey) && bytes.Equal(mac("Server Key"), v.ServerKey)
}

func openScram(t *testing.T, db *mongo.Database, on bool) *env {
	t.Helper()
	return openEnvWith(t, db, Options{Scram: on, ScramIterations: testIterations})
}

// TestScramFollowsPasswords: whoever changes a password, and however, the verifier of the old one is
// of no use; the new one is there as soon as the store with the setting sees the password.
func TestScramFollowsPasswords(t *testing.T) {
	const ada, first, second, third = "ada@example.com", "correct horse", "another horse", "a third horse"
	db := dbtest.Database(t)
	on, off := openScram(t, db, true), openScram(t, db, false)
	expect := func(what, password string) {
		t.Helper()
		v, err := on.ScramVerifier(t.Context(), "ADA@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Salt) != scramSalt || v.Iterations != testIterations || len(v.StoredKey) != 32 {
			t.Errorf("%s: verifier %+v", what, v)
		}
		for _, p := range []string{first, second, third} {
			if got := fits(t, v, p); got != (p == password) {
				t.Errorf("%s: it fits %q: %t", what, p, got)
			}
		}
	}
	login := func(e *env, password string) {
		t.Helper()
		if _, err := e.Authenticate(t.Context(), ada, password, ScopeIMAP); err != nil {
			t.Errorf("login with %q: %v", password, err)
		}
	}
	u, err := on.CreateUser(t.Context(), NewUser{Username: ada, Password: first})
	if err != nil {
		t.Fatal(err)
	}
	expect("created", first)
	if err := on.SetPassword(t.Context(), u.ID, second); err != nil {
		t.Fatal(err)
	}
	expect("set", second)
	text := third
	if err := on.ChangeProfile(t.Context(), u.ID, UserChange{Password: &text}); err != nil {
		t.Fatal(err)
	}
	expect("changed", third)
	if err := off.SetPassword(t.Context(), u.ID, first); err != nil {
		t.Fatal(err)
	}
	expect("set by a store without", "")
	login(on, first)
	expect("after a login", first)
	hash, err := on.hash(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if err := on.SetHashedPassword(t.Context(), u.ID, hash); err != nil {
		t.Fatal(err)
	}
	expect("a hash was set", "")
	login(on, second)
	expect("after another login", second)
	// A program that does not know of verifiers changes the hash alone.
	if hash, err = on.hash(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := on.updateUser(t.Context(), u.ID,
		bson.D{{Key: "$set", Value: bson.D{{Key: userHash, Value: hash}}}}); err != nil {
		t.Fatal(err)
	}
	expect("another program", "")
	login(off, first)
	doc, err := on.findUser(t.Context(), byID(u.ID.Binary()))
	if err != nil || doc.Scram != nil {
		t.Errorf("a login without the setting leaves %+v, %v", doc.Scram, err)
	}
	// A hash of another system, which the login replaces.
	sum := sha1.Sum([]byte(third + "salt"))
	foreign := "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], "salt"...))
	if err := on.SetHashedPassword(t.Context(), u.ID, foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := on.Authenticate(t.Context(), ada, first, ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("a wrong password: %v", err)
	}
	expect("a wrong password", "")
	login(on, third)
	expect("a login with a hash of another system", third)
}

// TestScramTellsNobody: a user who does not exist, or has no verifier, has always the same salt, on
// every instance.
func TestScramTellsNobody(t *testing.T) {
	db := dbtest.Database(t)
	one, other := openScram(t, db, true), openScram(t, db, true)
	verifier := func(e *env, name string) ScramVerifier {
		t.Helper()
		v, err := e.ScramVerifier(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verifier(one, "eve@example.com")
	if len(v.Salt) != scramSalt || v.Iterations != testIterations {
		t.Errorf("verifier %+v", v)
	}
	for _, e := range []*env{one, other, openScram(t, db, true)} {
		if w := verifier(e, "EVE@example.com"); !bytes.Equal(w.Salt, v.Salt) || bytes.Equal(w.StoredKey, v.StoredKey) {
			t.Errorf("verifier %+v, and then %+v", v, w)
		}
	}
	if w := verifier(one, "mallory@example.com"); bytes.Equal(w.Salt, v.Salt) {
		t.Error("all unknown users have one salt")
	}
	verifier(one, "no address") // is nobody's
	elsewhere := openScram(t, dbtest.Database(t), true)
	if w := verifier(elsewhere, "eve@example.com"); bytes.Equal(w.Salt, v.Salt) {
		t.Error("all databases have one secret")
	}
}
