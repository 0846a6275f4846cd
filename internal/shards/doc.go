// Package shards lays the collections of Gadwall out on the shards of a MongoDB cluster.
//
// # Words
//
//   - slot: one of 256 ranges of users, by the first octet of their ids, which are random.
//   - zone: a shard, as MongoDB's balancer knows it. Each shard has one of its own.
//   - layout: which zone each slot is in. It is the same for all collections that lie by user.
//   - step: one command that brings a cluster nearer to the layout.
//
// # What holds
//
// All documents of a user are on one shard, so that a delivery, a flag change or an expunge is a
// transaction of a single shard. The shard keys of users, mailboxes, subscriptions, messages and
// journal begin with the user's id. Contents and blobs are spread by their hashes, addresses by
// themselves: an address leads to the id of its user, and its key makes it unique.
//
// A plan is made of what the cluster has, and changes nothing. Applied, it is empty. A shard that
// was added takes slots from those that have most; no others move.
package shards
