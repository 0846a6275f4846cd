// Package sessions knows who is connected, on all instances, and ends sessions.
//
// # Words
//
//   - session: a connection on which a user is logged in. The protocol that has it opens it here, and
//     closes it.
//   - registry: the sessions of this instance, in memory.
//   - peer: an instance that answers questions about its sessions.
//   - order: a document in the database that asks all peers for something: to list sessions, or to end
//     some. Each peer replies by documents.
//
// # Flow
//
//	Exchange.List, Exchange.Kick -> order -> Exchange.Run of every peer -> reply -> the caller
//	Exchange.End -> the own Registry; order -> Exchange.Run of every other peer
//
// An instance looks for orders every second. Nothing is written while nobody asks: what sessions do
// changes all the time, and is rarely looked at. A command that is no server asks in the same way.
//
// # What always holds
//
//   - A session that is told to end says so to its client and ends by itself, at once if it waits for
//     its client, and else after the command that runs.
//   - A credential that was revoked has no session later: the order is given after the change, and
//     a session whose login began before its instance knew of the order ends as it opens.
//   - No order to end sessions is missed by an instance that could not read the database. If it cannot
//     know what was ordered, because it could not read for an hour, all its sessions end.
//   - An instance does each order once, also when the clock of the database goes back.
//   - All times in the collection are by the clock of the database. The clocks of instances may differ.
//   - Who gives many orders delays nobody's order: an instance first ends what it was told to, and then
//     answers those who wait.
//   - An answer is complete, or names the peers that have not replied in time.
//   - Orders, replies and peers that were killed expire.
package sessions
