package mailstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// domainProfile maps domains as for a lookup, and accepts only host names.
var domainProfile = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(true), idna.CheckJoiners(true),
	idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))

// NormalizeAddress returns the one form in which the store keeps and compares an address: the local
// part by the PRECIS profile UsernameCaseMapped (RFC 8265 section 3.3: NFC, lower case), the domain
// in lower case with U-labels (RFC 5890). The error is ErrInvalidAddress.
func NormalizeAddress(address string) (string, error) {
	local, domain, err := splitAddress(address)
	if err != nil {
		return "", err
	}
	return normalizeParts(local, domain)
}

// splitAddress splits at the last @ and undoes quoting of the local part.
func splitAddress(address string) (local, domain string, err error) {
	if len(address) > MaxAddressLength {
		return "", "", invalid(ErrInvalidAddress, "it is longer than %d octets", MaxAddressLength)
	}
	if !utf8.ValidString(address) {
		return "", "", invalid(ErrInvalidAddress, "it is not UTF-8")
	}
	at := strings.LastIndexByte(address, '@')
	switch {
	case address == "":
		return "", "", invalid(ErrInvalidAddress, "it is empty")
	case at < 0:
		return "", "", invalid(ErrInvalidAddress, "it has no @")
	case at == 0:
		return "", "", invalid(ErrInvalidAddress, "nothing stands before the @")
	case at == len(address)-1:
		return "", "", invalid(ErrInvalidAddress, "nothing stands behind the @")
	}
	local, domain = address[:at], address[at+1:]
	if local[0] == '"' {
		if local, err = unquoteLocal(local); err != nil {
			return "", "", err
		}
	}
	return local, domain, nil
}

// unquoteLocal undoes Quoted-string (RFC 5321 section 4.1.2).
func unquoteLocal(local string) (string, error) {
	if len(local) < 3 || local[len(local)-1] != '"' {
		return "", invalid(ErrInvalidAddress, "its quotes do not close")
	}
	var b strings.Builder
	inner := local[1 : len(local)-1]
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return "", invalid(ErrInvalidAddress, "a quote stands within its quotes")
		case '\\':
			if i++; i == len(inner) {
				return "", invalid(ErrInvalidAddress, "its quotes do not close")
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), nil
}

func normalizeParts(local, domain string) (string, error) {
	if strings.ContainsRune(local, '@') {
		return "", invalid(ErrInvalidAddress, "it has more than one @")
	}
	if i := strings.IndexFunc(local, isForbidden); i >= 0 {
		r, _ := utf8.DecodeRuneInString(local[i:])
		return "", invalid(ErrInvalidAddress, "%q is not allowed before the @", r)
	}
	local, err := precis.UsernameCaseMapped.String(local)
	if err != nil {
		return "", invalid(ErrInvalidAddress, "what stands before the @ has a character that is not allowed")
	}
	if strings.ContainsRune(local, '@') { // a character of which the profile makes an @
		return "", invalid(ErrInvalidAddress, "it has more than one @")
	}
	if domain, err = NormalizeDomain(domain); err != nil {
		return "", err
	}
	address := local + "@" + domain
	if len(address) > MaxAddressLength {
		return "", invalid(ErrInvalidAddress, "it is longer than %d octets", MaxAddressLength)
	}
	return address, nil
}

// NormalizeDomain returns the one form in which the store keeps and compares a domain: in lower case,
// with U-labels (RFC 5890). The error is ErrInvalidAddress.
func NormalizeDomain(domain string) (string, error) {
	ascii, err := domainProfile.ToASCII(norm.NFC.String(strings.TrimSuffix(domain, ".")))
	if err != nil {
		return "", invalid(ErrInvalidAddress, "%q is not a domain", domain)
	}
	normalized, err := domainProfile.ToUnicode(ascii)
	if err != nil {
		return "", invalid(ErrInvalidAddress, "%q is not a domain", domain)
	}
	return normalized, nil
}

// isForbidden reports characters that no local part can have here: control characters and spaces.
func isForbidden(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

// Recipient is the user to whom an address leads.
type Recipient struct {
	User   *User
	Detail string // what follows the first + of the local part, in NFC; empty if nothing does
	// CatchAll says that the user has the address only because nobody else has it.
	CatchAll bool
}

// ResolveAddress returns the user to whom an address leads. It looks the whole address up first;
// then, if the local part has a +, the address without the + and what follows it (RFC 5233);
// then, if the domain is an alias of another one, the same there; then *@domain. The error is
// ErrNoSuchAddress for addresses that no user has, however malformed.
func (s *Store) ResolveAddress(ctx context.Context, address string) (*Recipient, error) {
	local, domain, err := splitAddress(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchAddress, err)
	}
	return s.resolve(ctx, local, domain, true)
}

// resolve follows the alias of a domain once: two operators at a time could make two domains aliases of
// each other.
func (s *Store) resolve(ctx context.Context, local, domain string, follow bool) (*Recipient, error) {
	user, err := s.userByAddress(ctx, local, domain)
	if err == nil {
		return &Recipient{User: user}, nil
	}
	base, detail, found := strings.Cut(local, "+")
	if errors.Is(err, ErrNoSuchAddress) && found && base != "" {
		if user, err = s.userByAddress(ctx, base, domain); err == nil {
			return &Recipient{User: user, Detail: norm.NFC.String(detail)}, nil
		}
	}
	if target := s.aliasOf(domain); follow && errors.Is(err, ErrNoSuchAddress) && target != "" {
		if to, err := s.resolve(ctx, local, target, false); !errors.Is(err, ErrNoSuchAddress) {
			return to, err
		}
	}
	if errors.Is(err, ErrNoSuchAddress) && local != anyLocal {
		if user, err = s.userByAddress(ctx, anyLocal, domain); err == nil {
			return &Recipient{User: user, CatchAll: true}, nil
		}
	}
	return nil, err
}

// anyLocal is the local part of an address that stands for all addresses of its domain that nobody
// has.
const anyLocal = "*"

func (s *Store) userByAddress(ctx context.Context, local, domain string) (*User, error) {
	address, err := normalizeParts(local, domain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchAddress, err)
	}
	ctx = s.lookUp(ctx)
	doc, err := s.rememberedUser(ctx, address)
	if doc == nil && err == nil {
		var id mailkey.UserID
		if id, err = s.addressOwner(ctx, address); err != nil {
			return nil, err
		}
		doc, err = s.findUser(ctx, byID(id.Binary()))
	}
	switch {
	case errors.Is(err, ErrNoSuchUser), err == nil && doc.State == UserDeleted:
		return nil, fmt.Errorf("%w: %s", ErrNoSuchAddress, address)
	case err != nil:
		return nil, err
	}
	user, err := s.userFrom(doc)
	if err == nil && user.Username == address {
		s.names.set(address, user.ID)
	}
	return user, err
}

// addressOwner returns the user whose address this is, without detail. The error is
// ErrNoSuchAddress.
func (s *Store) addressOwner(ctx context.Context, address string) (mailkey.UserID, error) {
	ctx, end := s.link(ctx)
	defer end()
	var doc struct {
		User bson.Binary `bson:"user"`
	}
	err := s.addresses.FindOne(ctx, bson.D{{Key: "_id", Value: address}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return mailkey.UserID{}, fmt.Errorf("%w: %s", ErrNoSuchAddress, address)
	}
	if err != nil {
		return mailkey.UserID{}, fmt.Errorf("look up address: %w", err)
	}
	return userIDFrom(doc.User)
}

// Addresses returns all addresses of a user, sorted; the user name is one of them.
func (s *Store) Addresses(ctx context.Context, user mailkey.UserID) ([]string, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.addresses.Find(ctx, bson.D{{Key: addressUser, Value: user.Binary()}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("find addresses: %w", err)
	}
	var docs []struct {
		ID string `bson:"_id"`
	}
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find addresses: %w", err)
	}
	list := make([]string, len(docs))
	for i, d := range docs {
		list[i] = d.ID
	}
	return list, nil
}

// AddAlias gives the user a further address. Errors: ErrInvalidAddress, ErrUserExists,
// ErrNoSuchUser, ErrTooMany.
func (s *Store) AddAlias(ctx context.Context, user mailkey.UserID, address string) error {
	address, err := NormalizeAddress(address)
	if err != nil {
		return err
	}
	ctx = database.Causal(ctx)
	defer s.noteAddresses(ctx)
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		// The write to the user's document makes two additions, or an addition and DeleteUser,
		// conflict.
		if _, err := s.touchUser(ctx, user, bson.D{{Key: userTree, Value: int64(1)}}); err != nil {
			return err
		}
		if err := s.roomForAlias(ctx, user); err != nil {
			return err
		}
		_, err := s.addresses.InsertOne(ctx, bson.D{
			{Key: "_id", Value: address}, {Key: addressUser, Value: user.Binary()}, {Key: addressAlias, Value: true}})
		return err
	})
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("%w: %s", ErrUserExists, address)
	}
	if err != nil {
		return fmt.Errorf("add alias: %w", err)
	}
	return nil
}

// roomForAlias returns ErrTooMany if the user can have no further alias.
func (s *Store) roomForAlias(ctx context.Context, user mailkey.UserID) error {
	n, err := s.countUpTo(ctx, s.addresses, bson.D{{Key: addressUser, Value: user.Binary()}}, MaxAliases+1)
	if err != nil {
		return err
	}
	if n > MaxAliases {
		return invalid(ErrTooMany, "a user can have %d aliases", MaxAliases)
	}
	return nil
}

// RemoveAlias takes an address from a user, but never the user name. The error is ErrNoSuchAddress
// if it is no alias of the user.
func (s *Store) RemoveAlias(ctx context.Context, user mailkey.UserID, address string) error {
	address, err := NormalizeAddress(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSuchAddress, err)
	}
	ctx = database.Causal(ctx)
	defer s.noteAddresses(ctx)
	linked, end := s.link(ctx)
	res, err := s.addresses.DeleteOne(linked, bson.D{
		{Key: "_id", Value: address}, {Key: addressUser, Value: user.Binary()}, {Key: addressAlias, Value: true}})
	end()
	if err != nil {
		return fmt.Errorf("remove alias: %w", err)
	}
	if res.DeletedCount == 0 {
		return fmt.Errorf("%w: %s", ErrNoSuchAddress, address)
	}
	return nil
}
