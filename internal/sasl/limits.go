package sasl

// maxResponse bounds one response of a client in octets. Tokens are the longest ones; protocols
// bound their lines to less before login.
const maxResponse = 64 << 10

// maxPairs bounds the pairs of a message with a token.
const maxPairs = 20

// maxScramMessage bounds a message of SCRAM in octets; clients' have about a hundred.
const maxScramMessage = 4 << 10
