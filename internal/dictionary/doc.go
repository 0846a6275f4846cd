// Package dictionary has zstd dictionaries for the frames of contents: a mail's header or a short
// text is nearly all made of what other mails have, too, which compression finds only if it is told
// beforehand.
//
// # Words
//
//   - kind: what a dictionary is for: Headers, Text, or HTML (which is for text and HTML together,
//     as most HTML comes with its text).
//   - ID: names a dictionary for ever. Every compressed frame names the one it needs, in its own
//     zstd header too. 0 is none.
//   - shipped: a dictionary in the program, IDs below 65536. A version is never changed or removed,
//     a better one is a new version beside it.
//   - trained: one made from a deployment's own mail, in the collection "dictionaries":
//     {_id: ID, kind, data, created, samples, sampleBytes}.
//   - current: the one new frames of a kind use: the newest trained one, else the newest shipped
//     one.
//
// # What always holds
//
//   - Nobody deletes a dictionary: frames that need it may exist.
//   - An instance notices a newer dictionary within RefreshInterval; it loads one that it does not
//     know when it meets a frame that needs it.
//   - A dictionary holds pieces of the mail it was trained on: strings that many mails have.
//     Shipped ones are made from generated mail only (package bench), by the command gen.
package dictionary
