package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/storetest"
	"gadwall/internal/webhooks"
)

// newHookedAPI is a server with webhooks, and ada.
func newHookedAPI(t *testing.T) (*api, *webhooks.Registry) {
	t.Helper()
	st := storetest.Open(t, storetest.Options{})
	r, err := webhooks.Open(t.Context(), webhooks.Options{Database: st.Database})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{Store: st, url: start(t, Options{Users: st, Accounts: accounts, Webhooks: r})}
	a.User(t, "ada@example.com")
	return a, r
}

func TestWebhooks(t *testing.T) {
	a, r := newHookedAPI(t)
	status := http.StatusOK
	var got []string
	url := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get(webhooks.HeaderDelivery))
		w.WriteHeader(status)
	}))
	t.Cleanup(url.Close)

	var made, hook Webhook
	a.call(t, "POST", "/webhooks",
		`{"name":"filter","url":"`+url.URL+`","kinds":["junk"],"user":"ada@example.com"}`, 201, &made)
	if made.Secret == "" || made.User == "" || len(made.Kinds) != 1 {
		t.Fatalf("%+v", made)
	}
	one := "/webhooks/" + made.ID
	a.call(t, "GET", one, "", 200, &hook)
	if hook.Secret != "" || hook.Name != "filter" || hook.URL != url.URL {
		t.Errorf("%+v", hook)
	}
	var list webhookList
	a.call(t, "GET", "/webhooks", "", 200, &list)
	if len(list.Webhooks) != 1 || list.Webhooks[0].ID != made.ID {
		t.Errorf("%+v", list)
	}
	var answer webhookAnswer
	a.call(t, "POST", one+"/test", "", 200, &answer)
	if !answer.Delivered || len(got) != 1 {
		t.Errorf("%+v after %d requests", answer, len(got))
	}
	status = http.StatusTeapot
	a.call(t, "POST", one+"/test", "", 200, &answer)
	if answer.Delivered || !strings.Contains(answer.Error, "418") {
		t.Errorf("%+v", answer)
	}
	var failed failedDeliveries
	a.call(t, "GET", one+"/failed?bodies=true", "", 200, &failed)
	if len(failed.Deliveries) != 0 {
		t.Errorf("%+v", failed)
	}
	a.call(t, "PATCH", one, `{"paused":true,"newSecret":true,"kinds":[]}`, 200, &hook)
	if hook.Paused != webhooks.PausedByOperator || hook.Secret == "" || hook.Secret == made.Secret ||
		len(hook.Kinds) != 0 {
		t.Errorf("%+v", hook)
	}
	status = http.StatusOK
	letter := webhooks.Letter{ID: "0011", Hook: made.ID, Error: "trouble", Body: `{"id":"0011"}`}
	if err := r.KeepLetter(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	a.call(t, "GET", one+"/failed?bodies=true", "", 200, &failed)
	if len(failed.Deliveries) != 1 || string(failed.Deliveries[0].Body) != letter.Body {
		t.Errorf("%+v", failed)
	}
	a.call(t, "POST", one+"/failed/0011/resend", "", 200, &answer)
	if !answer.Delivered || got[len(got)-1] != "0011" {
		t.Errorf("%+v after %q", answer, got)
	}
	a.refused(t, "POST", "/webhooks", `{"name":"a","url":"ftp://example.com"}`, 400, "InvalidField")
	a.refused(t, "POST", "/webhooks",
		`{"name":"a","url":"http://example.com","user":"bob@example.com"}`, 404, "NoSuchUser")
	a.refused(t, "PATCH", one, `{"name":""}`, 400, "InvalidField")
	a.refused(t, "POST", one+"/failed/abc/resend", "", 404, "NoSuchDelivery")
	a.call(t, "DELETE", one, "", 204, nil)
	for _, path := range []string{one, one + "/failed"} {
		a.refused(t, "GET", path, "", 404, "NoSuchWebhook")
	}
	a.refused(t, "POST", one+"/test", "", 404, "NoSuchWebhook")
	a.refused(t, "DELETE", one, "", 404, "NoSuchWebhook")
}

// Who has the address of a source needs no token. Anything else is no address.
func TestLinkedSource(t *testing.T) {
	a, r := newHookedAPI(t)
	const mail = "Subject: a\r\n\r\ntext\r\n"
	var put uploaded
	a.call(t, "POST", "/users/ada@example.com/mailboxes/INBOX/messages", mail, 201, &put,
		"Content-Type: message/rfc822")
	user, err := a.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	message := a.Mailbox(t, user, "INBOX").Key.Message(put.UID)
	link, err := r.Link(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	// A guarded server, to which the client has no token.
	accounts, err := account.New(account.Options{Store: a.Store.Store, Bus: a.Bus})
	if err != nil {
		t.Fatal(err)
	}
	guarded := start(t, Options{Users: a, Accounts: accounts, Webhooks: r, Token: "0123456789abcdef"})
	status, body, header := request(t, "GET", guarded+link, "")
	if status != 200 || body != mail || header.Get("Content-Type") != typeMessage {
		t.Errorf("%d %q %v", status, body, header)
	}
	if status, body, _ = request(t, "GET", guarded+link, "", "Range: bytes=0-6"); status != 206 || body != mail[:7] {
		t.Errorf("%d %q", status, body)
	}
	a.call(t, "GET", link, "", 200, nil)
	a.refused(t, "GET", link+"A", "", 404, "NoSuchLink")
	a.call(t, "DELETE", "/users/ada@example.com/mailboxes/INBOX/messages?uids=1", "", 200, nil)
	a.refused(t, "GET", link, "", 404, "NoSuchMessage")
}
