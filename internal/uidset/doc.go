// Package uidset has sets of UIDs, the numbers of messages within a mailbox
// (RFC 3501 section 2.3.1.1): 1 to 2^32-1.
//
// A Set is a list of ranges. It is always canonical: its ranges ascend, none is
// empty or holds 0, and between each two lies at least one number that is in
// neither. Two sets are equal when their ranges are. The functions and methods
// of this package return canonical sets, given such; Of makes one of any ranges.
//
// Sets are values: no method changes its receiver or its argument. No function
// returns nil, so that a caller can give nil a meaning of its own ("no
// restriction", say); all methods take nil as the empty set.
//
// Sequence numbers (RFC 3501 section 2.3.1.2) have the same range and the same
// written form; answers that list them are written with Append, too.
package uidset
