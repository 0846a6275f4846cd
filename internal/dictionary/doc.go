// Package dictionary has zstd dictionaries for the frames of contents. Most strings of a header or
// a short text are also in other mails. A dictionary has these strings, so that compression can
// refer to them.
//
// # Words
//
//   - kind: the sort of bytes that a dictionary compresses: Headers, Text, or HTML (text and HTML
//     together, as most HTML comes with its text).
//   - ID: the number of a dictionary, for ever. Every compressed frame names the dictionary that it
//     needs, in its own zstd header too. 0 is none.
//   - shipped: a dictionary in the program, IDs below 65536. A version never changes or goes; a
//     better dictionary is a new version beside it.
//   - trained: a dictionary made from a deployment's own mail, in the collection "dictionaries":
//     {_id: ID, kind, data, created, samples, sampleBytes}.
//   - current: the dictionary for new frames of a kind: the newest trained one, else the newest
//     shipped one.
//
// # What always holds
//
//   - Nobody deletes a dictionary: frames that need it may exist.
//   - An instance notices a newer dictionary within RefreshInterval. It loads a dictionary that it
//     does not know when a frame needs it.
//   - A dictionary holds pieces of the mail it was trained on: strings that many mails have.
//     Shipped ones are made from generated mail only (package bench), by the command gen.
package dictionary
