package proofs

import (
	"fmt"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	c := New[int](time.Minute, 3)
	key := c.KeyOf("ada", "hash", "password")
	if key != c.KeyOf("ada", "hash", "password") {
		t.Error("the same parts have two keys")
	}
	for name, other := range map[string]Key{
		"first": c.KeyOf("eve", "hash", "password"), "second": c.KeyOf("ada", "hasH", "password"),
		"third": c.KeyOf("ada", "hash", "passwore"), "border": c.KeyOf("ada", "hashp", "assword"),
		"count":   c.KeyOf("ada", "hashpassword"),
		"process": New[int](time.Minute, 3).KeyOf("ada", "hash", "password"),
	} {
		if other == key {
			t.Errorf("another %s has the same key", name)
		}
	}
}

func TestCache(t *testing.T) {
	now := time.Unix(1000, 0)
	c := New[int](time.Minute, 3)
	c.now = func() time.Time { return now }
	expect := func(k Key, value int, there bool) {
		t.Helper()
		if v, ok := c.Get(k); v != value || ok != there {
			t.Errorf("%d, %t, want %d, %t", v, ok, value, there)
		}
	}
	key, short := c.KeyOf("long"), c.KeyOf("short")
	expect(key, 0, false)
	c.Add(key, 7)
	c.AddFor(short, 8, time.Second)
	now = now.Add(time.Second)
	expect(short, 0, false)
	now = now.Add(58 * time.Second)
	expect(key, 7, true)
	now = now.Add(time.Second) // using it did not make it last longer
	expect(key, 0, false)
	c.AddFor(key, 9, time.Hour)
	now = now.Add(time.Minute)
	expect(key, 0, false)
	for i := range 10 {
		c.Add(c.KeyOf(fmt.Sprint(i)), i)
	}
	if n := len(c.values); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
	now = now.Add(2 * time.Minute)
	c.Add(key, 1)
	if n := len(c.values); n != 1 {
		t.Errorf("%d entries, want the new one only", n)
	}
	never := New[int](0, 3)
	never.Add(key, 1)
	if _, ok := never.Get(key); ok {
		t.Error("remembered though switched off")
	}
}
