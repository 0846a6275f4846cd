package bearer

import "time"

const (
	// maxToken bounds a token in octets.
	maxToken = 16 << 10
	// maxAnswer bounds what is read of one answer of the provider, in octets.
	maxAnswer = 1 << 20
	// maxKeys bounds the keys that are used of a provider's set.
	maxKeys = 100
	// maxRemembered bounds the tokens about which the provider was asked and that are remembered.
	maxRemembered = 20_000
	// maxQuoted bounds what an error quotes of the provider, in octets.
	maxQuoted = 200
)

const (
	// requestTimeout bounds one request to the provider.
	requestTimeout = 10 * time.Second
	// fetchTimeout bounds discovery and keys together.
	fetchTimeout = 15 * time.Second
	// retryAfter is how long the provider is not asked again for discovery and keys after that failed.
	retryAfter = 3 * time.Second
	// freshAfter is how old keys may be and still be taken for all there are: a token with another key
	// is refused. Older ones are fetched anew for it.
	freshAfter = 5 * time.Second
	// refreshAfter is the age at which discovery and keys are fetched anew. If that fails, they are
	// used up to maxAge.
	refreshAfter = time.Hour
	maxAge       = 24 * time.Hour
	// remember is how long the answer of the provider to a question about a token is believed.
	remember = time.Minute
)
