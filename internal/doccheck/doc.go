// Command doccheck checks the prose of the repository: comments, strings and Markdown pages.
// `make lint` runs it in the root of the repository. It prints a line for each fault, as
// "file:line: fault", and exits with 1 if there is any. With -w it first writes into docs/rfc.md which
// packages cite each RFC.
//
// Words:
//
//   - text: a piece of prose with the place where it stands: a comment group or a string of a Go
//     file, or a Markdown page. A citation may go on in the next line of its text.
//   - citation: a mention of an RFC. The one form is "RFC 3501", "RFC 3501 section 6.4.5" or
//     "RFC 3501 sections 6.3.1 and 6.3.2".
//
// What it checks:
//
//   - citations.go: every citation has the one form, and a section is never named before the
//     comment has named its RFC
//   - index.go: docs/rfc.md lists every RFC that is cited and no other, with its status and the
//     packages that cite it
//   - columns.go: no line is longer than 120 columns, but for tables, commands, addresses and
//     generated code
//   - links.go: files, headings, and tests in commands that a page names exist
//   - operator.go: docs/operations.md names every setting and metric
//
// It reads the files that Git tracks, so what is not yet added is not checked.
package main
