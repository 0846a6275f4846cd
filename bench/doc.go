// Package bench measures how little space mail takes, on generated mail like that of a company or a
// hosting provider.
//
// # Words
//
//   - corpus: a stream of generated mails, the same for the same seed on every machine. Mail number
//     n can be made without those before it.
//   - world: the things that the mails of one seed share: people and their mail programs, servers,
//     mailing lists, senders of newsletters with their templates, and the words they use.
//   - class: a sort of bytes of a message: headers, text, html, images, office, pdf, archives,
//     other.
//
// # What it is like
//
// Sizes, shares and compressibility follow published figures of real mail, and their middle where
// they differ:
//
//   - Attachments are 50 to 90 % of the space of mail (85 % at a large free provider, A. Sumin,
//     2016; 80 to 90 % in private archives and the Enron corpus, Tsipenyuk and Crowcroft, 2017; 50
//     to 70 % in companies); here 70 %. Mails had 50 to 60 KB on average in archives of companies
//     in 2007; here 68 KB.
//   - Of 18.6 million mails of companies ("Email Size Analysis", 256stuff.com) bodies and
//     attachments deflate, one by one, to 0.56 of their decoded size, and 51 % of their bytes are
//     duplicates; deduplication saved the provider above 36 %, or 42 % of attachments. Here they
//     deflate to 0.65, for there are fewer documents of old formats today, and 35 % of the bytes of
//     attachments are duplicates, as in this corpus by design.
//   - HTML of newsletters: guides ask for less than 50 KB, and for 100 KB at most, where web mail
//     cuts them off. Here the median is 28 KB. Links have random tokens of 60 to 300 characters,
//     which do not compress.
//   - JPEG files deflate to 0.99: headers, tables and a thumbnail count among small ones. One image
//     in 50 is a bitmap (0.44).
//   - PDF depends on who made it: 0.98 for scans, 0.96 for files with object streams, 0.83 for
//     tagged files of office programs, 0.58 for those of programs that compress nothing. That is
//     0.86 in all; single files in print are 0.8 to 0.98.
//   - Two thirds of the documents of office programs are zip files (0.92 to 0.99, mostly pictures),
//     the others of the formats before them (0.37 to 0.63; 0.2 to 0.9 in print, by how many
//     pictures they have).
//   - Text is attached, too: tables, logs, XML, JSON, RTF, HTML, calendars, cards, drawings (0.1 to
//     0.5); and mails, with their own attachments, in 3 % of conversations.
//
// Some mails have texts in the charsets of older programs (6 %), and some break a rule (1 %), as
// CorpusOptions say; the table below was made without broken ones.
//
// Of MeasureSeed, 5,000 mails (BenchmarkCorpus; a test holds a sample of them to this): the share
// of each class in the bytes of messages, and what its decoded bytes deflate to, each body by
// itself, without deduplication. Application types that are no class, and one attachment in 14,
// which is sent as application/octet-stream, are "other".
//
//	            mixed            packed
//	headers     0.062  0.543     0.053  0.543
//	text        0.088  0.411     0.033  0.543
//	html        0.193  0.203     0.163  0.202
//	images      0.222  0.965     0.263  0.994
//	office      0.130  0.723     0.120  0.962
//	pdf         0.194  0.858     0.290  0.984
//	archives    0.033  0.998     0.036  0.999
//	other       0.078  0.580     0.041  0.986
//	duplicate   0.349            0.394           of the decoded bytes of attachments
//	Floor       0.334            0.385
//
// The packed corpus (CorpusOptions.Packed) is the harder one: every attachment has a format that is
// compressed already, so only deduplication saves space on it.
//
// # Training and measuring
//
// Shipped compression dictionaries are trained on such mail (internal/dictionary/gen), so
// measurements must use other mail. A world is made from its seed: names, domains, servers,
// templates, colours, class names, addresses, tokens, and nearly all words (built of the syllables
// of a language) differ from seed to seed. All seeds share the strings that all real mail shares:
// names and syntax of header fields, markup of HTML and CSS, the function words of languages,
// phrases of mail programs ("wrote:"). Training takes seeds from TrainingSeed on, measurements take
// others. Attachments have real deflate streams, zip directories and PDF objects, so they compress
// as well as real ones, and no better.
package bench
