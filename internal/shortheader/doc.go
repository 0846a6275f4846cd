// Package shortheader keeps in memory the header fields that clients ask for when they list a
// mailbox, once for all sessions of an instance. Package contents fills and asks it.
//
// # Words
//
//   - transport field: a header field that servers write for servers, such as Received. No mail
//     program lists it.
//   - short header: the root header of a content without its transport fields. All other lines are
//     in it exactly as they are, in their order, the empty line at the end too.
//   - generation: the short headers that were used since some moment. The cache has two.
//
// # Flow
//
//	HEADER.FIELDS without a transport field -> Answers
//	  -> Cache.Get by content ID -> short header -> section.FieldSelector -> answer
//	  -> not there: content -> Selector -> Cache.Put
//
// # What always holds
//
//   - What a FieldSelector picks from a short header is, octet by octet, what it picks from the
//     whole header, for every section that Answers, also behind a prefix.
//   - A content never changes, so nothing in the cache is ever out of date.
//   - Both generations together take no more than the cache's bound. Short headers that no client
//     asked for during one to two times idleTime go.
package shortheader
