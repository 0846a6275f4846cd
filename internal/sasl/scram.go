package sasl

import (
	"github.com/xdg-go/scram"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// exporter returns the binding of the client's connection (RFC 9266), an unsupported one without.
func exporter(c *Client) scram.ChannelBinding {
	if c.State == nil {
		return scram.ChannelBinding{}
	}
	// It fails for old versions of TLS that have no unique keying material (RFC 9266 section 4).
	binding, err := scram.NewTLSExporterBinding(c.State)
	if err != nil {
		return scram.ChannelBinding{}
	}
	return binding
}

// scramServer is SCRAM-SHA-256 or, with plus, SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).
type scramServer struct {
	exchange     *Exchange
	plus         bool
	conversation *scram.ServerConversation // from the first message on
	attempt      account.Attempt           // likewise
	verifier     mailstore.ScramVerifier   // of the user of the attempt
	done         bool                      // but for the client's answer to the last message
}

func (m *scramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case m.done:
		if len(response) > 0 {
			return nil, false, malformed("the response is not empty")
		}
		return nil, true, nil
	case response == nil:
		return []byte{}, false, nil
	case m.conversation == nil:
		challenge, err = m.first(string(response))
	default:
		challenge, err = m.final(string(response))
		m.done = err == nil
	}
	return challenge, false, err
}

// first answers the client's first message with salt, iterations and nonce (RFC 5802 section 7).
func (m *scramServer) first(message string) ([]byte, error) {
	x := m.exchange
	header, rest, ok := cutGS2(message)
	switch {
	case !ok || len(rest) > maxScramMessage:
		return nil, malformed("the response is not of SCRAM")
	case m.plus != (header.flag == 'p'):
		// The mechanism's name says whether the client binds (RFC 5802 section 6).
		return nil, malformed("the channel binding is not that of the mechanism")
	case m.plus && header.binding != string(scram.ChannelBindingTLSExporter):
		return nil, malformed("only the channel binding tls-exporter is supported")
	case header.flag == 'y' && boundScrams(x.authenticator, &x.client):
		// Somebody took the mechanism with channel binding out of what was offered.
		return nil, malformed("the server does support channel binding")
	}
	var trouble error
	server, err := scram.SHA256.NewServer(func(username string) (scram.StoredCredentials, error) {
		m.attempt = account.Attempt{Username: username, As: header.authzid}
		v, err := x.authenticator.accounts.ScramVerifier(x.ctx, &m.attempt)
		m.verifier, trouble = v, err
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
			StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
		}, err
	})
	if err != nil {
		return nil, err
	}
	if binding := exporter(&x.client); m.plus {
		m.conversation = server.NewConversationWithChannelBindingRequired(binding)
	} else {
		m.conversation = server.NewConversationWithChannelBinding(binding)
	}
	challenge, err := m.conversation.Step(message)
	if trouble != nil {
		return nil, trouble
	}
	if err != nil {
		return nil, malformed("the response is not of SCRAM")
	}
	x.username = m.conversation.Username()
	return []byte(challenge), nil
}

// final checks the client's proof, and answers with the server's.
func (m *scramServer) final(message string) (challenge []byte, err error) {
	if len(message) > maxScramMessage {
		return nil, malformed("the response is not of SCRAM")
	}
	x, c := m.exchange, m.conversation
	err = x.login(m.attempt, x.authenticator.accounts.ByScram(m.verifier, func() error {
		answer, err := c.Step(message)
		if err != nil || !c.Valid() {
			return mailstore.ErrAuthFailed // a wrong binding, too: who could tell
		}
		challenge = []byte(answer)
		return nil
	}))
	if err != nil {
		return nil, err
	}
	return challenge, nil
}
