// Package bench measures what Gadwall is bought for: how little space mail takes, on mail as a company or a hosting
// provider gets it.
//
// # Words
//
//   - corpus: a stream of generated mails, the same for the same seed on every machine. Mail number n
//     can be made without those before it.
//   - world: what the mails of one seed have in common: people and their mail programs, servers, mailing
//     lists, senders of newsletters with their templates, and the words they use.
//   - class: what bytes of a message are: headers, text, html, images, office, pdf, archives, other.
//
// # Why it is no cheat
//
// Shipped compression dictionaries are trained on such mail (internal/contents/dictionaries), so what is measured
// must not be what was trained on. A world is made from its seed: names, domains, servers, templates, colours, class
// names, addresses, tokens, and nearly all words (built of the syllables of a language) differ from seed
// to seed. Seeds have in common what all real mail has: names and syntax of header fields, markup of HTML and CSS, the
// function words of languages, phrases of mail programs ("wrote:"). Training takes seeds from TrainingSeed
// on, measuring others. Attachments are made with real deflate streams, zip directories and PDF objects, so whatever can
// be compressed in real ones can be here, and no more.
package bench
