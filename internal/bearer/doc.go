// Package bearer checks bearer tokens (RFC 6750) that a provider of OpenID Connect gave to users. A
// token takes the place of a password in IMAP, submission and the HTTP API.
//
// # Words
//
//   - provider: the server that users log in to, named by its issuer, an https URL.
//   - token: what a client got there. It is a JWT (RFC 7519) with the provider's signature, or a text
//     that only the provider understands, which is asked about it (introspection, RFC 7662).
//   - claims: what the provider says with a token: whose it is, for whom, for what, until when.
//   - discovery: the document by which a provider says where its keys and services are.
//
// # Flow
//
//	Verifier.Username -> discovery and keys, from memory or from the provider
//	                  -> signature, issuer, audience, time        (a JWT)
//	                  -> what the provider answers                (introspection)
//	                  -> scope -> the claim with the user's name
//
// # What always holds
//
//   - A token is right only if the provider's signature is on it, by an algorithm with a public key,
//     or the provider said so a moment ago.
//   - An error that does not match ErrInvalid or ErrScope means that nobody knows: the provider did
//     not answer. Nothing is remembered of it but that it is not asked again at once.
//   - Discovery and keys are fetched by one request at a time, whoever waits, and not more often than
//     limits.go says. Keys that the provider has changed are found by tokens that name them.
//   - Answers of the provider, tokens, and times are bounded.
//   - No token is in an error or in memory after its check (package proofs).
package bearer
