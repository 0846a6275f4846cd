// Package plan works out what an installation needs from what measurements of a small one came to.
// It measures nothing and reads no files.
//
//	result lines -> NewConstants -> Constants -> Plan(Load, Hardware) -> items with formulas
//	lines of a small run -> NewConstants -> Check(lines of a larger run) -> errors of the forecasts
//
// # Words
//
//   - constant: a measured cost, such as the bytes of a database document for each mail.
//   - figure: a constant, or what comes of some, with the bounds between which it lies.
//   - item: one line of a plan, with the formula that it comes from.
//   - load: what users do.
//   - cell: a replica set of its own, with instances and a Redis of its own, for a part of the
//     users.
//
// # What always holds
//
//   - The bounds of a constant are the least and the greatest repeat. Those of an item are what its
//     formula makes of the worst bounds of all constants in it together. Without repeats bounds are
//     not known, and the plan says so.
//   - What no line has measured is missing in a plan, and is never guessed. The exceptions are
//     Assumptions, which the plan prints.
package plan
