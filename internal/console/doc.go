// Package console is the page for operators: plain HTML, CSS and JavaScript modules, embedded in the
// program. There is no build step, and the page needs nothing but this server.
//
// # Words
//
//   - view: what a part of the address after # shows, such as #/users. A view is a module of web.
//   - sink: a place of the browser that makes a page of text. Only web/dom.js uses one, for the frames of
//     HTML mail.
//
// # How data flows
//
//	GET / and GET /console/{file} -> Find -> the page
//	the page -> the JSON API, with the administrator's token -> views, by textContent
//
// # What always holds
//
//   - The files hold no data and are public. Data comes from the API alone, which wants the token.
//   - The token is in the browser's sessionStorage, and goes with the window.
//   - The content security policy allows no inline script and no inline style, nothing of another
//     origin, and no sink but the policy named in web/dom.js (Trusted Types).
//   - HTML mail is shown in a frame with an empty sandbox, which runs nothing and loads nothing.
package console
