package mailstore

import (
	"errors"
	"strings"
	"testing"
)

func TestNormalizeAddress(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"user@example.com", "user@example.com"},
		{"User.Name+Tag@EXAMPLE.Com", "user.name+tag@example.com"},
		{"user@example.com.", "user@example.com"},
		{"user@localhost", "user@localhost"},
		{`"user"@example.com`, "user@example.com"},
		{`"us\er"@example.com`, "user@example.com"},
		{"mu\u0308ller@bu\u0308cher.example", "m\u00fcller@b\u00fccher.example"},
		{"MÜLLER@BÜCHER.example", "müller@bücher.example"},
		{"user@xn--bcher-kva.example", "user@bücher.example"},
		{"user@faß.example", "user@faß.example"},
		{"用户@例子.测试", "用户@例子.测试"},
		{"user@mail。example.com", "user@mail.example.com"},
		{"!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
	} {
		got, err := NormalizeAddress(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("NormalizeAddress(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if again, err := NormalizeAddress(got); err != nil || again != got {
			t.Errorf("NormalizeAddress(%q) = %q, %v: not stable", got, again, err)
		}
	}
}

func TestNormalizeAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"", "user", "@example.com", "user@", "a b@example.com", `"a b"@example.com`, `"a"b"@example.com`, `"@example.com`,
		"user@-example.com", "user@exa_mple.com", "user@example..com", "user@[127.0.0.1]", "user@exam ple.com",
		"us\x00er@example.com", "us\ner@example.com", "user@example.com\n", "\xff@example.com", `"a@b"@example.com`,
		strings.Repeat("x", MaxAddressLength) + "@example.com", "user@" + strings.Repeat("x", 64) + ".com",
	} {
		if got, err := NormalizeAddress(in); !errors.Is(err, ErrInvalidAddress) {
			t.Errorf("NormalizeAddress(%q) = %q, %v; want ErrInvalidAddress", in, got, err)
		}
	}
}

func FuzzNormalizeAddress(f *testing.F) {
	for _, s := range []string{"user@example.com", `"a\"b"@c.d`, "ü@xn--bcher-kva", "a@b@c", "+@x", "\u0130@I.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := NormalizeAddress(in)
		if err != nil {
			if !errors.Is(err, ErrInvalidAddress) {
				t.Fatal(err)
			}
			return
		}
		if len(got) > MaxAddressLength || strings.Count(got, "@") != 1 {
			t.Fatalf("%q became %q", in, got)
		}
		if again, err := NormalizeAddress(got); err != nil || again != got {
			t.Fatalf("%q, then %q, %v", got, again, err)
		}
	})
}
